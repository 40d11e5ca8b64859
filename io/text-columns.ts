/** How the values of a column are written in a text format, as `csv` and `json` take it: for all columns, and by name. */

import { checkOptionNames, MillraceError, type Schema, shown } from '../core/index.ts';
import { TimeFormat } from './time-format.ts';
import { checkUnit, type TimeUnit } from './time-unit.ts';

export interface TimeOptions {
  /**
   * How instants are written: 'yyyy/MM/dd HH:mm:ss.SSS', 'dd/MMM/yyyy:HH:mm:ss Z', 'M/d/yyyy h:mm a'. The
   * letters are Unicode's, names are English. Default: ISO 8601.
   */
  readonly time?: string;
  /**
   * Whose clocks show a time that is written without an offset: a name of the IANA database, such as
   * 'Europe/Berlin', or an offset, such as '+02:00'. Default: UTC. A time that the clocks showed twice is the
   * first of the two; one that they left out is counted on from before it.
   */
  readonly zone?: string;
  /**
   * What a number stands for: seconds, milliseconds, microseconds or nanoseconds since 1970. Fractions are taken,
   * and what is below a millisecond is cut (floored). Default: 'ms'.
   */
  readonly unit?: TimeUnit;
}

const TIME_OPTIONS = ['time', 'zone', 'unit'] as const;

/**
 * By column of the schema, the format of its instants; undefined where it is the default.
 *
 * @param what the codec, as messages begin: `csv()`
 * @throws MillraceError ERR_MILLRACE_OPTION where a pattern or a zone is none, or is for no timestamp
 */
export function timeFormatsOf(
  what: string,
  schema: Schema,
  all: TimeOptions,
  columns: Readonly<Record<string, TimeOptions | undefined>>,
): readonly (TimeFormat | undefined)[] {
  const formats = schema.fields.map(({ name, type }) => {
    const own = columns[name];
    if (type.name !== 'timestamp') {
      const given = TIME_OPTIONS.find((option) => own?.[option] !== undefined);
      if (given === undefined) return undefined;
      throw new MillraceError(
        'ERR_MILLRACE_OPTION',
        `${what}: ${given} is given for the column ${shown(name)}, which holds ${type.name}. It is for columns of type timestamp.`,
      );
    }
    const time = own?.time ?? all.time;
    const zone = own?.zone ?? all.zone;
    const unit = own?.unit ?? all.unit;
    if (time === undefined && zone === undefined && unit === undefined) return undefined;
    const column = `${what}: column ${shown(name)}`;
    if (unit !== undefined) checkUnit(column, unit);
    return new TimeFormat(column, time, zone, unit);
  });
  const given = TIME_OPTIONS.find((option) => all[option] !== undefined);
  if (given !== undefined && !schema.fields.some(({ type }) => type.name === 'timestamp')) {
    throw new MillraceError('ERR_MILLRACE_OPTION', `${what}: ${given} is given, and no column is a timestamp.`);
  }
  return formats;
}

/** @throws MillraceError ERR_MILLRACE_OPTION when `columns` names what is no column, or an option that does not exist */
export function checkColumnOptions<O extends object>(
  what: string,
  schema: Schema,
  columns: Readonly<Record<string, O | undefined>>,
  known: { readonly [name in keyof O]-?: true },
): void {
  const names = Object.fromEntries(schema.fields.map(({ name }) => [name, true as const]));
  checkOptionNames(`${what}, columns`, columns, names);
  for (const [name, own] of Object.entries(columns)) if (own !== undefined) checkOptionNames(`${what}, column ${shown(name)}`, own, known);
}
