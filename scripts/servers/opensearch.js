// OpenSearch, which has no security of its own in this archive.

import { searchServer } from './search-server.js';

export const opensearch = searchServer({ name: 'opensearch', title: 'OpenSearch', prefix: 'OPENSEARCH', settings: {} });
