// Prometheus of the system, asked each second. `settings: { targets: '127.0.0.1:9464', path: '/metrics' }` says whom; it also looks
// at itself, and takes what is pushed (remote write).

import fs from 'node:fs';
import path from 'node:path';
import { getsOk } from './ports.js';
import { findProgram, installedVersion } from './programs.js';

export const prometheus = {
  title: 'Prometheus',
  ports: ['http'],
  missing: () => (findProgram('prometheus') ? undefined : 'prometheus is missing: install it (Debian: apt-get install --no-install-recommends prometheus).'),
  installedVersion: () => installedVersion(findProgram('prometheus')),
  prepare({ dir, ports, settings: { targets, path: metrics = '/metrics' } }) {
    const jobs = [{ job_name: 'prometheus', static_configs: [{ targets: [`127.0.0.1:${ports.http}`] }] }];
    if (targets !== undefined) jobs.push({ job_name: 'millrace', metrics_path: metrics, static_configs: [{ targets: String(targets).split(',') }] });
    // JSON is YAML.
    fs.writeFileSync(path.join(dir, 'prometheus.yml'), JSON.stringify({ global: { scrape_interval: '1s' }, scrape_configs: jobs }));
  },
  programs: ({ dir, ports }) => [
    {
      name: 'prometheus',
      command: findProgram('prometheus'),
      args: [
        `--config.file=${path.join(dir, 'prometheus.yml')}`,
        `--storage.tsdb.path=${path.join(dir, 'data')}`,
        `--web.listen-address=127.0.0.1:${ports.http}`,
        '--web.enable-remote-write-receiver',
        '--log.level=warn',
      ],
    },
  ],
  isReady: ({ ports }) => getsOk(`http://127.0.0.1:${ports.http}/-/ready`),
  url: ({ ports }) => `http://127.0.0.1:${ports.http}`,
  connect: ({ ports }) => ({ url: `http://127.0.0.1:${ports.http}` }),
};
