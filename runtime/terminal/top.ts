/** `millrace top`: looks at a running job again and again, over its own metrics, and prints what it sees. */

import { setTimeout as sleep } from 'node:timers/promises';
import { MillraceError } from '../../core/index.ts';
import { metricsUrl, type Scrape, scrape } from './scrape.ts';
import { screen } from './screen.ts';

const CLEAR = '\x1b[H\x1b[2J';

export interface TopOptions {
  readonly intervalMs: number;
  /** Print one screen, and end. With rates: it looks twice, `intervalMs` apart. */
  readonly once: boolean;
}

/**
 * Ends when the job does.
 *
 * @param out stdout; on a terminal each screen replaces the one before
 * @throws MillraceError ERR_MILLRACE_OPTION, ERR_MILLRACE_SOURCE where no job answers from the start
 */
export async function top(
  address: string,
  options: TopOptions,
  out: { readonly isTTY?: boolean; write(text: string): unknown } = process.stdout,
): Promise<void> {
  const url = metricsUrl(address);
  let before: Scrape = await scrape(url);
  if (!options.once) out.write(`${out.isTTY ? CLEAR : ''}${screen(before, undefined)}\n`);
  for (;;) {
    await sleep(options.intervalMs);
    let now: Scrape;
    try {
      now = await scrape(url);
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error;
      // What was there, and is not, has ended. With `once` nothing was printed yet.
      if (options.once) out.write(`${screen(before, undefined)}\n`);
      out.write(`\nThe job has ended, or answers no more at ${url.href}.\n`);
      return;
    }
    out.write(`${out.isTTY && !options.once ? CLEAR : options.once ? '' : '\n'}${screen(now, before)}\n`);
    if (options.once) return;
    before = now;
  }
}
