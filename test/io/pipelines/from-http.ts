// Rows that are sent by HTTP, as they are, into the log.

import { i32, json, log, pipeline, utf8 } from 'millrace';
import { http } from 'millrace/io/http';

export default ({ dir, port }: { dir: string; port: number }) =>
  pipeline('from-http')
    .from(http.source({ port, dir: `${dir}/inbox`, value: json({ id: i32, text: utf8 }) }))
    .to(log.sink({ dir: `${dir}/out`, topic: 'rows', partitions: 1, value: json() }));
