/**
 * Loggers without a package: lines on a stream, for a person or as JSON; and the adapter for loggers that take the
 * message before its fields.
 */

import { checkOptionNames, LOG_LEVELS, type Logger, type LogLevel, MillraceError, shown } from '../../core/index.ts';
import type { PrintTarget } from './progress-printer.ts';

export interface LineLoggerOptions {
  /** Lines below this level are left out. Default 'info'. */
  readonly level?: LogLevel;
  /** One JSON object a line, `{ level, time, msg, ... }` as pino has it; else text. */
  readonly json?: boolean;
  /** Where they go. Default: stderr. */
  readonly out?: PrintTarget;
}

/**
 * A logger that writes lines.
 *
 * @throws MillraceError ERR_MILLRACE_OPTION
 * @example
 * const job = await run(module, { logger: lineLogger({ level: 'debug' }) });
 */
export function lineLogger(options: LineLoggerOptions = {}): Logger {
  checkOptionNames('lineLogger()', options, { level: true, json: true, out: true });
  const { level = 'info', json = false, out = process.stderr } = options;
  if (!LOG_LEVELS.includes(level)) throw new MillraceError('ERR_MILLRACE_OPTION', `level is ${shown(level)}. Give one of ${LOG_LEVELS.join(', ')}.`);
  const least = LOG_LEVELS.indexOf(level);
  const at =
    (of: LogLevel) =>
    (fields: object, message: string): void => {
      if (LOG_LEVELS.indexOf(of) < least) return;
      const time = new Date().toISOString();
      out.write(json ? `${JSON.stringify({ level: of, time, ...fields, msg: message }, plain)}\n` : textLine(time, of, fields, message, out.isTTY === true));
    };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** A logger that takes `(message, fields)`, such as winston's. */
export interface MessageFirstLogger {
  debug(message: string, fields: object): unknown;
  info(message: string, fields: object): unknown;
  warn(message: string, fields: object): unknown;
  error(message: string, fields: object): unknown;
}

/**
 * Makes a logger of one that takes the message first.
 *
 * @example
 * const job = await run(module, { logger: messageFirst(winston.createLogger({ transports: [new winston.transports.Console()] })) });
 */
export function messageFirst(logger: MessageFirstLogger): Logger {
  mustHaveLevels('messageFirst()', logger);
  const at =
    (level: LogLevel) =>
    (fields: object, message: string): void =>
      void logger[level](message, fields);
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** @throws MillraceError ERR_MILLRACE_OPTION */
export function mustHaveLevels(what: string, logger: unknown): void {
  const missing = LOG_LEVELS.find((level) => typeof (logger as Readonly<Record<string, unknown>> | null | undefined)?.[level] !== 'function');
  if (missing === undefined) return;
  throw new MillraceError(
    'ERR_MILLRACE_OPTION',
    `${what} has no function ${missing}. Give a logger with debug, info, warn and error, each of (object, message): a pino logger, console, lineLogger(), or messageFirst(logger) of one that takes the message first.`,
  );
}

function textLine(time: string, level: LogLevel, fields: object, message: string, isTerminal: boolean): string {
  const rest = Object.entries(fields)
    .filter(([name, value]) => name !== 'pipeline' && value !== undefined)
    .map(([name, value]) => `${name}=${typeof value === 'string' && /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value, plain)}`);
  // The line of the progress stands there.
  const clear = isTerminal ? '\r\x1b[2K' : '';
  return `${clear}${time.slice(11, 23)} ${level.padEnd(5)} ${[message, ...rest].join(' ')}\n`;
}

/** What JSON has no form for. */
function plain(_name: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
}
