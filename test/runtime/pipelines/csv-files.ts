// CSV files, each with its columns in an order of its own, by name.

import { collect, csv, f64, files, nullable, pipeline, timestamp, utf8 } from '../../../runtime/index.ts';

export const rows = collect<{ readonly id: number; readonly page: string | null; readonly at: number | null }>();

export default ({ paths }: { readonly paths: readonly string[] }) =>
  pipeline('csv-files')
    .from(
      files.source({
        paths,
        value: csv(
          { id: f64, page: nullable(utf8), at: nullable(timestamp) },
          { header: 'byName', nulls: ['NA', ''], time: 'yyyy/MM/dd HH:mm', zone: 'Europe/Berlin' },
        ),
      }),
    )
    .to(rows);
