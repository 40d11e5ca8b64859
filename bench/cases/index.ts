/** All cases, in display order. */

import type { BenchCase } from '../harness.ts';
import { arrowCases } from './arrow.ts';
import { jsonDecodeCases } from './decode.ts';
import { jsonEncodeCases } from './encode.ts';
import { groupByCases } from './group-by.ts';
import { guaranteeCases } from './guarantees.ts';
import { operatorCases } from './operators.ts';
import { recordBatchCases } from './record-batches.ts';
import { rowCases } from './rows.ts';
import { threadCases } from './threads.ts';
import { windowCases } from './windows.ts';

export const allCases: readonly BenchCase[] = [
  ...groupByCases,
  ...windowCases,
  ...rowCases,
  ...jsonDecodeCases,
  ...recordBatchCases,
  ...jsonEncodeCases,
  ...arrowCases,
  ...threadCases,
  ...guaranteeCases,
  ...operatorCases,
];
