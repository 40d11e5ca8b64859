/** The ways into a table that need no more than one transaction: appending, and replacing by key. */

import type { Way } from './loader.ts';
import type { Table } from './table.ts';

/** Rows that come again are there twice. */
export function appending(table: Table): Way {
  const copy = table.copy();
  return {
    alone: (connection, signal, chunks) => connection.copy(signal, copy, chunks),
    store: (connection, signal, chunks) => connection.copy(signal, copy, chunks),
  };
}

/** Rows replace those of the same key, and delete them where the stream has changes of a table. */
export function replacing(table: Table, isChanges: boolean): Way {
  const copy = table.copyIncoming(isChanges);
  const merge = table.merge(isChanges);
  return {
    async setUp(connection, signal) {
      await connection.query(signal, table.incoming(isChanges));
    },
    async store(connection, signal, chunks, isAgain) {
      await connection.copy(signal, copy, chunks);
      await connection.query(signal, isAgain ? `${merge}; ${table.clearIncoming()}` : merge);
    },
  };
}
