// Kinesis: kinesalite, an implementation of its interface over LevelDB. It looks whether a request is signed, and not by whom.
// AWS's client must speak HTTP/1.1 to it: `requestHandler: new NodeHttpHandler()` of @smithy/node-http-handler.

import path from 'node:path';
import { accepts } from './ports.js';

const PROGRAM = `
const [home, path, port, settings] = process.argv.slice(1);
require(home)({ path, createStreamMs: 50, deleteStreamMs: 50, updateStreamMs: 50, ...JSON.parse(settings) }).listen(Number(port), '127.0.0.1');
`;

export const kinesis = {
  title: 'Kinesis (kinesalite)',
  ports: ['http'],
  programs: ({ dir, home, ports, settings }) => [
    {
      name: 'kinesis',
      command: process.execPath,
      args: ['-e', PROGRAM, path.join(home, 'node_modules', 'kinesalite'), path.join(dir, 'data'), String(ports.http), JSON.stringify(settings)],
    },
  ],
  isReady: ({ ports }) => accepts(ports.http),
  url: ({ ports }) => `http://127.0.0.1:${ports.http}`,
  connect: ({ ports }) => ({
    endpoint: `http://127.0.0.1:${ports.http}`,
    region: 'us-east-1',
    credentials: { accessKeyId: 'millrace', secretAccessKey: 'millrace-secret' },
  }),
};
