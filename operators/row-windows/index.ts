/** The door of operators/row-windows: windows that are runs of rows. */

export { planRowWindow, type RowWindowRequest } from './row-windows.ts';
