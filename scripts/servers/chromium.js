// Chromium of the system without a window, as a server of the DevTools protocol: pages are opened, looked at and read through
// it. It keeps its profile, and no open pages.

import path from 'node:path';
import { getsOk } from './ports.js';
import { findProgram, installedVersion } from './programs.js';

const program = () => findProgram('chromium') ?? findProgram('chromium-browser') ?? findProgram('google-chrome');

export const chromium = {
  title: 'Chromium',
  ports: ['devtools'],
  missing: () => (program() ? undefined : 'chromium is missing: install it (Debian: apt-get install chromium).'),
  installedVersion: () => installedVersion(program()),
  programs({ dir, ports, settings }) {
    const flags = {
      headless: 'new',
      // The machine of a test gives neither the rights for a sandbox nor much shared memory.
      'no-sandbox': true,
      'disable-gpu': true,
      'disable-dev-shm-usage': true,
      'user-data-dir': path.join(dir, 'data'),
      'remote-debugging-port': ports.devtools,
      ...settings,
    };
    const args = Object.entries(flags).map(([name, value]) => (value === true ? `--${name}` : `--${name}=${value}`));
    return [{ name: 'chromium', command: program(), args, env: { HOME: dir } }];
  },
  isReady: ({ ports }) => getsOk(`http://127.0.0.1:${ports.devtools}/json/version`),
  url: ({ ports }) => `http://127.0.0.1:${ports.devtools}`,
  connect: ({ ports }) => ({ browserURL: `http://127.0.0.1:${ports.devtools}` }),
};
