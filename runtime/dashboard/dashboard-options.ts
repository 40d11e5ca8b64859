/** The option `dashboard` of `run`, checked. */

import { checkOptionNames, MillraceError, shown } from '../../core/index.ts';

export interface DashboardOptions {
  /** 0: any that is free; `job.dashboardUrl` says which. */
  readonly port: number;
  /** The address to listen at. Default '127.0.0.1': this machine only. There is no login: put a proxy in front. */
  readonly host?: string;
}

export type DashboardPlace = Required<DashboardOptions>;

/** @throws MillraceError ERR_MILLRACE_OPTION */
export function dashboardPlace(options: DashboardOptions): DashboardPlace {
  checkOptionNames('dashboard', options, { port: true, host: true });
  const { port, host = '127.0.0.1' } = options;
  const refused = (message: string): MillraceError => new MillraceError('ERR_MILLRACE_OPTION', message);
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw refused(`dashboard.port is ${shown(port)}. Give a whole number from 0 (any that is free) to 65535.`);
  if (typeof host !== 'string' || host === '')
    throw refused(`dashboard.host is ${shown(host)}. Give an address of this machine: '127.0.0.1', or '0.0.0.0' for all.`);
  return { port, host };
}
