/** Makes the state of windows by its strategy: see window-state.ts for what each is good for. */

import { MergedWindow } from './merged-window.ts';
import type { PaneGrid } from './pane-grid.ts';
import type { PaneGroups } from './pane-groups.ts';
import type { PaneRing } from './pane-ring.ts';
import type { PaneStore } from './pane-store.ts';
import { RunningWindow } from './running-window.ts';
import { TwoStackWindow } from './two-stack-window.ts';
import type { WindowState, WindowStateOptions } from './window-state.ts';

/** `panes` are of `store`. */
export function windowState(grid: PaneGrid, panes: PaneRing<PaneGroups>, store: PaneStore, { strategy, drifts }: WindowStateOptions): WindowState {
  if (strategy === 'running') return new RunningWindow(grid, panes, store, drifts);
  if (strategy === 'two-stack') return new TwoStackWindow(grid, panes, store);
  return new MergedWindow(grid, panes, store);
}
