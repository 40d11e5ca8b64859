/** The door of core/panes: event time in slices, and windows over them. */

export { OpenWindows } from './open-windows.ts';
export { CumulativeGrid, EVENT_TIME_MAX, PaneGrid } from './pane-grid.ts';
export { PaneGroups } from './pane-groups.ts';
export { PaneRing, type PaneStates } from './pane-ring.ts';
export { type PaneRows, PaneSplit, type PaneSplitKernel, paneSplitReference } from './pane-split.ts';
export { PaneStore, type PaneStoreOptions, smallTable } from './pane-store.ts';
export { RunArena } from './run-arena.ts';
export { Watermark, type WatermarkOptions, type WatermarkPolicy, type WatermarkState } from './watermark.ts';
export type { WindowState, WindowStateOptions } from './window-state.ts';
export { windowState } from './window-strategy.ts';
export { ZoneGrid } from './zone-grid.ts';
export { ZoneOffsets, type ZoneSpan } from './zone-offsets.ts';
