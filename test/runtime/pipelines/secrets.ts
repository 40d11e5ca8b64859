// Options with secrets, and texts of the user's own that repeat them: nothing of it may come out anywhere.

import { collect, generator, json, memory, pipeline, u32, utf8 } from 'millrace';
import { kafka } from 'millrace/io/kafka';

const value = json({ page: utf8 });

export interface Params {
  /** `broker`: one that does not answer; `function`: one that throws; `none`: it runs to its end. */
  readonly how: 'broker' | 'function' | 'none';
  readonly broker: string;
  /** What no output may have. */
  readonly canary: string;
}

export default ({ how, broker, canary }: Params) => {
  const source = kafka.source({
    brokers: [broker],
    topic: 'clicks',
    group: 'g',
    value,
    brokerTimeout: 1_500,
    // With a key that is none, no connection would be tried.
    ...(how === 'broker'
      ? {}
      : { ssl: { key: `-----BEGIN PRIVATE KEY-----\n${canary}-in-the-key\n-----END PRIVATE KEY-----`, passphrase: `${canary}-passphrase` } }),
    allowInsecure: true,
    sasl: { mechanism: 'plain', username: 'anna', password: `${canary}-password` },
  });
  if (how === 'broker') return pipeline('secrets').from(source).to(collect());
  if (how === 'none')
    return pipeline(`from amqp://anna:${canary}-url@host`)
      .from(memory([{ n: 1 }], { schema: { n: u32 } }))
      .to(collect());
  return pipeline('secrets')
    .from(generator({ rows: 10, seed: 1, schema: { n: u32 }, row: (i) => ({ n: i }) }))
    .filter(() => {
      throw new Error(`${canary}-password was refused, as was the key\n${canary}-in-the-key`);
    })
    .to(collect());
};
