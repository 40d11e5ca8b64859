// A node:test reporter: one line of JSON per test (suites are not tests), for test-run.js to sum up.

/** @param {AsyncIterable<{ type: string, data: any }>} events */
export default async function* record(events) {
  for await (const { type, data } of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    // A suite that failed by itself (a failed hook, or no test in it) must not go unnoticed.
    if (data.details?.type === 'suite' && (type === 'test:pass' || data.details.error?.failureType === 'subtestsFailed')) continue;
    if (data.skip === 'test name does not match pattern') continue;
    const isDone = data.todo !== undefined && data.todo !== false;
    const skipped = data.skip === undefined || data.skip === false ? undefined : data.skip === true ? '' : data.skip;
    yield `${JSON.stringify({ name: data.name, ok: type === 'test:pass' || isDone, skipped })}\n`;
  }
}
