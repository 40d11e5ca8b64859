/** All cases, in the order in which they are shown. */

import type { BenchCase } from '../harness.ts';
import { groupByCases } from './group-by.ts';
import { windowCases } from './windows.ts';

export const allCases: readonly BenchCase[] = [...groupByCases, ...windowCases];
