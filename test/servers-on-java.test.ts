/**
 * The servers of scripts/servers that run on Java, one after the other: each serves, keeps what it has acknowledged over kill -9, is at
 * the same address again, and leaves nothing behind.
 */

import { test } from 'node:test';
import { livesAndDies, serverNames, skipOf } from './server-life.ts';

for (const name of serverNames({ onJava: true })) test(`${name} serves again after kill -9`, { skip: skipOf(name) }, (t) => livesAndDies(t, name));
