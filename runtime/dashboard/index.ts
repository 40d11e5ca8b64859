/** The door of runtime/dashboard: the live page of a job. */

export { Dashboard, type DashboardHost } from './dashboard.ts';
export { type DashboardOptions, type DashboardPlace, dashboardPlace } from './dashboard-options.ts';
