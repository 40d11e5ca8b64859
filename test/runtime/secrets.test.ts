/** A canary in passwords, keys and URLs: no output of a job has it, neither log, errors, explain, progress nor metrics. */

import assert from 'node:assert/strict';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { describePlan, explain, lineLogger, mermaidPlan, run } from '../../runtime/index.ts';
import { runCli } from './cli-process.ts';
import type { Params } from './pipelines/secrets.ts';

const module = new URL('./pipelines/secrets.ts', import.meta.url);
const CANARY = 'canary-7e1b';

/** An address at which nobody listens. */
async function closedPort(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `127.0.0.1:${port}`;
}

/** Everything that a job says while it lives, and of its end. */
async function everything(how: Params['how']): Promise<string> {
  const texts: unknown[] = [];
  const params = { how, broker: await closedPort(), canary: CANARY };
  const listen = (warning: Error) => void texts.push(warning.message);
  process.on('warning', listen);
  const logger = lineLogger({ level: 'debug', json: true, out: { write: (text) => texts.push(text) } });
  try {
    const plan = await explain(module, params);
    texts.push(describePlan(plan), mermaidPlan(plan));
    const job = await run(module, { workers: 1, logger, metrics: { port: 0 }, params });
    job.on('warning', (message) => texts.push(message));
    texts.push(await (await fetch(`${job.url}/metrics`)).text(), await (await fetch(`${job.url}/ready`)).text());
    await job.done.catch((error: Error) => texts.push(error.message));
    texts.push(job.metrics(), job.explain(), job.progress(), job.watch.graph, job.watch.log.lines);
  } catch (error) {
    texts.push((error as Error).message);
  } finally {
    process.removeListener('warning', listen);
  }
  return texts.map((text) => (typeof text === 'string' ? text : inspect(text, { depth: 9 }))).join('\n');
}

/** Shows where it is, and not all that was said. */
function mustHaveNone(text: string): void {
  const at = text.indexOf(CANARY);
  assert.ok(at < 0, text.slice(Math.max(0, at - 300), at + 100));
}

test('a broker that does not answer: its lines are those of kafkajs, too, and have no secret', async () => {
  const text = await everything('broker');
  mustHaveNone(text);
  // The test looks at what it means to.
  assert.match(text, /"client":"kafkajs"/);
  assert.match(text, /tried again: kafka clicks/);
  assert.match(text, /no Kafka broker answers at/);
  assert.match(text, /the job could not start/);
});

test('a function that puts secrets into its error', async () => {
  const text = await everything('function');
  mustHaveNone(text);
  assert.match(text, /\*\*\* was refused, as was the key/);
  assert.match(text, /the job has failed/);
});

test('a name with a URL', async () => {
  const text = await everything('none');
  mustHaveNone(text);
  assert.match(text, /pipeline="from amqp:\/\/anna:\*\*\*@host"/);
});

test('the command line prints none, neither in text nor in JSON', async () => {
  const broker = await closedPort();
  const cases: [string[], RegExp][] = [
    [['run', '--param', 'how=broker', '--log-level', 'debug', '--json'], /ERR_MILLRACE_BROKER/],
    [['run', '--param', 'how=function', '--log-level', 'info'], /ERR_MILLRACE_USER_FUNCTION[\s\S]*was refused[\s\S]*secrets\.ts/],
    [['explain', '--param', 'how=none'], /pipeline from amqp:\/\/anna:\*\*\*@host/],
  ];
  for (const [[command, ...args], expected] of cases) {
    const { stdout, stderr } = await runCli([
      command as string,
      'test/runtime/pipelines/secrets.ts',
      ...args,
      '--param',
      `broker=${broker}`,
      '--param',
      `canary=${CANARY}`,
    ]);
    assert.match(stdout + stderr, expected);
    mustHaveNone(stdout + stderr);
  }
});
