// Word count: how often each word has occurred so far, over lines of text. The "hello world" of stream
// processing.
//
//   npx tsx examples/word-count.ts              counts the words of a small text
//   npx millrace run examples/word-count.ts     the same; --param path=FILE counts those of a file
//
// word-count-kafka.ts is the same job on a Kafka topic of lines.

import { type ChangelogSink, files, main, memory, pipeline, run, type Source, stdout, text, utf8 } from 'millrace';

const POEM = ['the mill wheel turns', 'the race runs to the wheel', 'and the wheel turns the stone'];

export function wordCount(lines: Source<{ readonly value: string }>, sink: ChangelogSink) {
  return pipeline('word-count')
    .from(lines)
    .flatMap({ word: utf8 }, (line, emit) => {
      for (const word of line.value.toLowerCase().split(/\W+/)) if (word !== '') emit({ word });
    })
    .keyBy('word')
    .count()
    .to(sink);
}

export default ({ path }: { path?: string } = {}) =>
  wordCount(
    path === undefined
      ? memory(
          POEM.map((value) => ({ value })),
          { schema: { value: utf8 } },
        )
      : files.source({ path, value: text() }),
    stdout(),
  );

main(import.meta.url, async () => {
  const job = await run(import.meta.url, { workers: 2 });
  await job.done;
});
