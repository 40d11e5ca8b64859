// S3: S3Proxy over files of this machine, with signatures, multi-part uploads and conditional writes. Its objects survive a
// restart. Clients address buckets in the path (`forcePathStyle`).
//
// Less than S3: `If-None-Match: *` of a PUT looks first and writes then, so that of several at the same time more than one may
// win; the end of a multi-part upload does not look at it at all; a deleted `a/b` may leave a key `a/`.

import fs from 'node:fs';
import path from 'node:path';
import { accepts } from './ports.js';

const KEYS = { accessKeyId: 'millrace', secretAccessKey: 'millrace-secret' };

export const s3 = {
  title: 'S3 (S3Proxy)',
  ports: ['http'],
  prepare({ dir, ports, settings }) {
    fs.mkdirSync(path.join(dir, 'data'), { recursive: true });
    const all = {
      's3proxy.endpoint': `http://127.0.0.1:${ports.http}`,
      's3proxy.authorization': 'aws-v2-or-v4',
      's3proxy.identity': KEYS.accessKeyId,
      's3proxy.credential': KEYS.secretAccessKey,
      // Else it refuses the checksums that clients send.
      's3proxy.ignore-unknown-headers': true,
      'jclouds.provider': 'filesystem',
      'jclouds.filesystem.basedir': path.join(dir, 'data'),
      ...settings,
    };
    const lines = Object.entries(all).map(([name, value]) => `${name}=${value}\n`);
    fs.writeFileSync(path.join(dir, 's3proxy.conf'), lines.join(''));
  },
  programs: ({ dir, home, java, heapMiB = 256 }) => [
    {
      name: 's3',
      command: java.java,
      args: [
        `-Xmx${heapMiB}m`,
        '-XX:+UseSerialGC',
        '-XX:TieredStopAtLevel=1',
        '-cp',
        path.join(home, '*'),
        'org.gaul.s3proxy.Main',
        '--properties',
        path.join(dir, 's3proxy.conf'),
      ],
    },
  ],
  isReady: ({ ports }) => accepts(ports.http),
  url: ({ ports }) => `http://127.0.0.1:${ports.http}`,
  connect: ({ ports }) => ({ endpoint: `http://127.0.0.1:${ports.http}`, region: 'us-east-1', forcePathStyle: true, credentials: KEYS }),
};
