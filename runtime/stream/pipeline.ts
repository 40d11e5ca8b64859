/** A pipeline: its name, and the streams that begin with its sources. */

import { MillraceError, shown } from '../../core/index.ts';
import type { Source } from '../../io/index.ts';
import { GRAPH, Graph, type PipelineLike } from '../plan/index.ts';
import { Stream } from './stream.ts';

/**
 * Starts a pipeline. Its name is part of messages, of progress, and of what is committed: do not change it.
 */
export function pipeline(name: string): Pipeline {
  return new Pipeline(new Graph(name));
}

export class Pipeline implements PipelineLike {
  readonly [GRAPH]: Graph;

  constructor(graph: Graph) {
    this[GRAPH] = graph;
  }

  /** The rows of a source. */
  from<R>(source: Source<R>): Stream<R> {
    if (typeof source?.open !== 'function' || typeof source.decoder !== 'function') {
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        `from() got ${shown(source)}, which is no source. Pass kafka.source(...), log.source(...), generator(...), memory(...), files.source(...) or a Source of your own.`,
      );
    }
    return new Stream<R>(this[GRAPH], { kind: 'source', schema: source.schema, source });
  }
}
