// Elasticsearch without security. `GET /` answers 405, since this archive lacks the module for it.

import { searchServer } from './search-server.js';

export const elasticsearch = searchServer({ name: 'elasticsearch', title: 'Elasticsearch', prefix: 'ES', settings: { 'xpack.security.enabled': false } });
