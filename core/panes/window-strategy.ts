/** Makes the state of windows by strategy. For what each is good for see window-state.ts. */

import { MergedWindow } from './merged-window.ts';
import type { PaneGrid } from './pane-grid.ts';
import type { PaneGroups } from './pane-groups.ts';
import type { PaneRing } from './pane-ring.ts';
import type { PaneStore } from './pane-store.ts';
import { RunningWindow } from './running-window.ts';
import { TwoStackWindow } from './two-stack-window.ts';
import type { WindowState, WindowStateOptions } from './window-state.ts';

/** `panes` belong to `store`. */
export function windowState(grid: PaneGrid, panes: PaneRing<PaneGroups>, store: PaneStore, { strategy, drifts }: WindowStateOptions): WindowState {
  if (strategy === 'running') return new RunningWindow(grid, panes, store, drifts);
  if (strategy === 'two-stack') return new TwoStackWindow(grid, panes, store);
  return new MergedWindow(grid, panes, store);
}
