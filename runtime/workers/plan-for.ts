/** The plan of a module: made in the same way on the main thread and in every worker. */

import type { Task } from '../../io/index.ts';
import { makePlan, type Plan, planOfTask } from '../plan/index.ts';
import { loadGraph, type Params } from '../stream/index.ts';

export interface PlanSource {
  readonly url: string;
  readonly params: Params;
  readonly codeGeneration?: boolean | undefined;
  /** Which task of a job that several processes share; undefined: it is not shared. */
  readonly task?: Task | undefined;
}

/**
 * @throws MillraceError as loadGraph and makePlan; ERR_MILLRACE_PIPELINE where tasks cannot share the pipeline
 */
export async function planFor({ url, params, codeGeneration, task }: PlanSource): Promise<Plan> {
  const plan = makePlan(await loadGraph(url, params), codeGeneration === undefined ? {} : { codeGeneration });
  return task === undefined ? plan : planOfTask(plan, task);
}
