/**
 * The sink of files of any store: options, names, formats and both ends. A connector brings the store.
 */

import { MillraceError, type Schema, shown } from '../../core/index.ts';
import type { Codec } from '../codec.ts';
import { type Changelog, changelogOf, type Sink, type SinkContext } from '../sink.ts';
import { columnsOf, type FileFormat, fileFormatOf } from './file-format.ts';
import { FileNames } from './file-names.ts';
import { PieceRoom, partingEncoder, projection } from './pieces.ts';
import type { Store, StoreContext } from './store.ts';
import { StoreWriter } from './writer.ts';

/** What all sinks of files take. */
export interface FilesOptions {
  /**
   * How rows of a table are written: see {@link Changelog}. Files take no table without it.
   */
  readonly changelog?: Changelog;
  /** How a line is written: `json()`, `csv()`, `text()`; or what a file is: `parquet()`, `arrowStream()`. */
  readonly value: Codec | FileFormat;
  /**
   * First part of the names, before the epoch: letters, digits, `_`, `.`, `=`, `-`, not beginning with a dot.
   * Default `part`.
   */
  readonly prefix?: string;
  /**
   * The names, in place of `prefix`, with columns in braces: `averages/{windowStart:yyyy-MM-dd_HH-mm}`. Each
   * row goes to the file of its values; `/` makes folders, as in `dt={at:yyyy-MM-dd}/{epoch}-{part}`. Times
   * are in UTC, by `yyyy MM dd HH mm ss SSS`, or `ms`. `{epoch}` and `{part}` are numbers of ten and five
   * digits. Where a name has no `{epoch}`, and its rows come in several epochs, the later ones have files of
   * their own, with the epoch behind the name.
   */
  readonly name?: string;
  /** Last part of the names, without its dot; empty: none. Default by format: `jsonl`, `csv`, `txt`, `parquet`, `arrows`. */
  readonly ext?: string;
  /** One file per epoch (`one`, the default), or one per epoch and shard. */
  readonly parts?: 'one' | 'shard';
  /** The columns that are written, in this order. Default: all. */
  readonly columns?: readonly string[];
}

/** For `checkOptionNames`. */
export const FILES_OPTIONS = { changelog: true, value: true, prefix: true, name: true, ext: true, parts: true, columns: true } as const;

/** A connector's place for files. */
export interface StoreTarget {
  /** Whose options they are, as messages begin: `files.sink`. */
  readonly what: string;
  /** The name of the sink. */
  readonly name: string;
  /** The place, as messages have it. */
  readonly place: string;
  open(context: StoreContext): Promise<Store>;
}

const NAME = /^[A-Za-z0-9_=][A-Za-z0-9_.=-]*$/;

/**
 * Its names are checked by the caller (checkOptionNames).
 *
 * @throws MillraceError ERR_MILLRACE_OPTION
 */
export function storeSink(target: StoreTarget, options: FilesOptions): Sink {
  const { what } = target;
  const format = fileFormatOf(what, options.value);
  const { prefix = 'part', name, ext = format.ext, parts = 'one' } = options;
  for (const [option, text] of [
    ['prefix', prefix],
    ['ext', ext],
  ] as const) {
    if (option === 'ext' && text === '' && name !== undefined) continue;
    if (typeof text !== 'string' || !NAME.test(text) || text.length > 100)
      throw new MillraceError(
        'ERR_MILLRACE_OPTION',
        `${what}: ${option} is ${shown(text)}; use letters, digits, "_", "=", "-" and ".", with no "." or "-" in front.`,
      );
  }
  if (parts !== 'one' && parts !== 'shard') throw new MillraceError('ERR_MILLRACE_OPTION', `${what}: parts is ${shown(parts)}; it must be 'one' or 'shard'.`);
  if (name !== undefined && options.prefix !== undefined)
    throw new MillraceError('ERR_MILLRACE_OPTION', `${what}: name and prefix are both given. Leave prefix out: name is the whole name.`);
  const names = new FileNames(what, name ?? `${prefix}-{epoch}-{part}`, ext === '' ? '' : `.${ext}`);
  if (parts === 'shard' && !names.hasPart)
    throw new MillraceError('ERR_MILLRACE_OPTION', `${what}: parts is 'shard', and name ${shown(name)} does not tell the parts apart. Put {part} into it.`);
  const columns = columnsOf(what, options.columns);
  const written = (schema: Schema): Schema => (columns === undefined ? schema : schema.select(columns, what));
  const files = `The files ${names.shown} in ${target.place}`;
  return {
    name: target.name,
    delivery: 'replayed by epoch',
    ...(options.changelog === undefined ? {} : { changelog: changelogOf(what, options.changelog) }),
    place: `t${files.slice(1)}`,
    check(schema: Schema): void {
      names.check(schema);
      format.check(written(schema));
    },
    async open({ pipeline, guarantee = 'at-least-once', schema, ...rest }: SinkContext) {
      const newBody = await format.open(written(schema));
      const store = await target.open({
        user: `the pipeline ${shown(pipeline)}`,
        files,
        lock: names.lock,
        isDeep: names.isDeep,
        guarantee,
        signal: rest.signal,
        ...(rest.waiting && { waiting: (text) => rest.waiting?.(text) }),
        ...(rest.deposed && { deposed: rest.deposed }),
      });
      const isExactlyOnce = guarantee === 'exactly-once';
      const writer = new StoreWriter(store, { names, parts, isExactlyOnce, newBody });
      try {
        if (!isExactlyOnce) await writer.takeAll();
        return writer;
      } catch (error) {
        await store.close();
        throw error;
      }
    },
    encoder(context) {
      const { schema } = context;
      const project =
        columns === undefined
          ? undefined
          : projection(
              columns.map((column) => schema.indexOf(column)),
              written(schema),
            );
      const inner = { ...context, schema: written(schema), block: context.block.bind(context), position: context.position.bind(context) };
      if (names.columns.length === 0) {
        const encoder = format.encoder(inner, undefined);
        return project === undefined ? encoder : { write: (batch) => encoder.write(project(batch)), flush: () => encoder.flush() };
      }
      const room = new PieceRoom(context);
      return partingEncoder(inner, room, names.stems(schema), project ?? ((batch) => batch), format.encoder(inner, room));
    },
  };
}
