/** The door of operators/row-windows: windows of rows. */

export { planRowWindow, type RowWindowRequest } from './row-windows.ts';
