/**
 * The plan as text: for a person (`millrace explain`), and as a Mermaid graph. What workers compare is
 * identity.ts.
 */

import { withoutSecrets } from '../../core/index.ts';
import type { ExchangePlan, FlowPlan, Plan } from './plan.ts';

/** Several lines, one per step, in the order in which a batch passes them. */
export function describePlan(plan: Plan): string {
  const { task } = plan;
  const lines = [`pipeline ${plan.name}`];
  if (task !== undefined) lines.push(`task ${task.index + 1} of ${task.count}, which have the same plan: each reads its partitions, and has its keys`);
  plan.sources.forEach(({ source, flow, behind }, index) => {
    const read = flow.rows.columnsRead.map((column) => source.schema.field(column).name);
    if (index === task?.source) {
      lines.push(`source ${index}: ${source.name}`, '  blocks from all tasks, for the exchanges');
      return;
    }
    lines.push(`source ${index}: ${source.name} (${source.schema})`);
    lines.push(`  decodes ${read.join(', ') || '(no column)'}`);
    if (behind.length > 0) lines.push(`  read behind source ${behind.join(', ')}, once that is loaded`);
    lines.push(...describeFlow(plan, flow, '  '));
    for (const rejects of plan.sources[index]?.rejects ?? []) lines.push('  what cannot be decoded:', ...describeFlow(plan, rejects, '    '));
  });
  plan.exchanges.forEach((exchange, index) => {
    const { operator } = exchange;
    lines.push(`exchange ${index}: ${operator.travels}`);
    lines.push(
      ...operator
        .describe()
        .split('\n')
        .map((line) => `  ${line}`),
    );
    if (task !== undefined) lines.push(`  between tasks: ${betweenTasks(exchange)}`);
    if (exchange.carriesOrder) lines.push('  order     rows carry their place in the epoch: they are needed in the order in which they were read');
    lines.push(`  gives (${operator.output})`);
    for (const view of plan.views) if (view.exchange === index) lines.push(`  viewed as ${JSON.stringify(view.name)}`);
    lines.push(...describeFlow(plan, exchange.flow, '  '));
    exchange.late.forEach((late, input) => {
      if (late !== undefined) lines.push(`  late rows${inputName(plan, index, input)}:`, ...describeFlow(plan, late, '    '));
    });
    for (const errors of exchange.errors) lines.push('  rows that fail:', ...describeFlow(plan, errors, '    '));
  });
  plan.sinks.forEach(({ sink, schema }, index) => {
    lines.push(index === task?.sink ? `sink ${index}: ${sink.name}, blocks for the tasks that have their keys` : `sink ${index}: ${sink.name} (${schema})`);
  });
  return withoutSecrets(lines.join('\n'));
}

/** What a row costs on its way to another task. */
function betweenTasks({ operator }: ExchangePlan): string {
  if (operator.order === undefined) return 'one slot for each key (and pane) of an epoch, however many rows it stands for';
  return operator.inputs
    .map(({ schema, columns }) => {
      const types = columns.map((column) => schema.field(column).type);
      const bytes = types.reduce((sum, { name, width }) => sum + (name === 'bool' ? 1 / 8 : name === 'utf8' || name === 'binary' ? 4 : width), 0);
      const texts = types.some(({ name }) => name === 'utf8' || name === 'binary') ? ' and its texts' : '';
      return `each row, ${Math.ceil(bytes)} bytes${texts}`;
    })
    .join('; ');
}

function describeFlow(plan: Plan, flow: FlowPlan, indent: string): string[] {
  const lines = flow.rows.describe().map((line) => `${indent}${line}`);
  if (flow.watermark !== undefined) {
    const { strategy } = plan.watermarks[flow.watermark] as Plan['watermarks'][number];
    const extras = `${strategy.idleMs === undefined ? '' : `, idle after ${strategy.idleMs} ms`}${strategy.maxSkewMs === undefined ? '' : `, at most ${strategy.maxSkewMs} ms ahead of the clock`}${strategy.policy === 'max' ? ', by the partition that is furthest ahead' : ''}`;
    lines.push(
      strategy.isProcessingTime
        ? `${indent}watermark ${flow.watermark}: the clock; ${strategy.column} is the clock at the start of the row's epoch`
        : `${indent}watermark ${flow.watermark}: ${strategy.column} - ${strategy.delayMs} ms${extras}`,
    );
  }
  if (flow.lookup !== undefined) {
    const { operation, flow: behind, errors } = flow.lookup;
    const { concurrency, timeoutMs, retries, cache } = operation;
    const kept = cache === undefined ? '' : `, answers by ${cache.by.join(', ')} kept for ${cache.ttlMs} ms`;
    lines.push(`${indent}enrich: (${operation.schema}), ${concurrency} calls at a time, ${timeoutMs} ms each, ${retries} retries${kept}`);
    for (const failed of errors) lines.push(`${indent}rows that fail:`, ...describeFlow(plan, failed, `${indent}  `));
    lines.push(...describeFlow(plan, behind, indent));
  }
  for (const { exchange, input } of flow.exchanges) lines.push(`${indent}-> exchange ${exchange}${inputName(plan, exchange, input)}`);
  for (const sink of flow.sinks) lines.push(`${indent}-> sink ${sink}`);
  for (const { flow: errors } of flow.errors) lines.push(`${indent}rows that fail:`, ...describeFlow(plan, errors, `${indent}  `));
  const ways = flow.next.length + flow.exchanges.length + flow.sinks.length + flow.errors.length;
  flow.next.forEach((next, index) => {
    if (ways === 1) {
      lines.push(...describeFlow(plan, next, indent));
      return;
    }
    lines.push(`${indent}fork ${index + 1}:`);
    lines.push(...describeFlow(plan, next, `${indent}  `));
  });
  return lines;
}

/** Which of the two streams of an operator. */
function inputName(plan: Plan, exchange: number, input: number): string {
  const { operator } = plan.exchanges[exchange] as ExchangePlan;
  return operator.inputs.length > 1 ? `, input ${input}` : '';
}

/** The plan as a Mermaid flowchart. */
export function mermaidPlan(plan: Plan): string {
  const lines = ['flowchart LR'];
  let flows = 0;
  const draw = (from: string, flow: FlowPlan): void => {
    let at = from;
    const steps = flow.rows.describe();
    if (steps.length > 0) {
      at = `f${flows++}`;
      lines.push(`  ${from} --> ${at}[${label(steps.join('<br>'))}]`);
    }
    if (flow.watermark !== undefined) {
      const { strategy } = plan.watermarks[flow.watermark] as Plan['watermarks'][number];
      const to = `f${flows++}`;
      const title = strategy.isProcessingTime ? `processing time as ${strategy.column}` : `watermark ${strategy.column} - ${strategy.delayMs} ms`;
      lines.push(`  ${at} --> ${to}[${label(title)}]`);
      at = to;
    }
    for (const { exchange, input } of flow.exchanges) lines.push(`  ${at} ==>|by key${inputName(plan, exchange, input)}| x${exchange}`);
    for (const sink of flow.sinks) lines.push(`  ${at} --> k${sink}`);
    for (const next of flow.next) draw(at, next);
    if (flow.lookup !== undefined) {
      const to = `f${flows++}`;
      lines.push(`  ${at} --> ${to}[${label(`enrich (${flow.lookup.operation.schema})`)}]`);
      draw(to, flow.lookup.flow);
      for (const errors of flow.lookup.errors) draw(to, errors);
    }
    for (const errors of flow.errors) draw(at, errors.flow);
  };
  plan.exchanges.forEach((exchange: ExchangePlan, index) =>
    lines.push(
      `  x${index}[[${label(
        exchange.operator
          .describe()
          .split('\n')
          .slice(0, 3)
          .map((line) => line.trim())
          .join('<br>'),
      )}]]`,
    ),
  );
  plan.sinks.forEach(({ sink }, index) => lines.push(`  k${index}[(${label(sink.name)})]`));
  plan.sources.forEach(({ source, flow }, index) => {
    lines.push(`  s${index}[(${label(source.name)})]`);
    draw(`s${index}`, flow);
  });
  plan.exchanges.forEach(({ flow, late, errors }, index) => {
    draw(`x${index}`, flow);
    for (const rows of late) if (rows !== undefined) draw(`x${index}`, rows);
    for (const rows of errors) draw(`x${index}`, rows);
  });
  return withoutSecrets(lines.join('\n'));
}

/** A Mermaid label: quoted, with the characters that end it written as entities. */
function label(text: string): string {
  return `"${text.replace(/["#;<>]/g, (c) => (c === '<' || c === '>' ? (text.includes('<br>') ? c : `#${c.charCodeAt(0)};`) : `#${c.charCodeAt(0)};`))}"`;
}
