// Tables that can be sorted by their heads; rows are drawn anew, the place and the order stay.

const orders = new WeakMap();
const ROWS_SHOWN_MAX = 500;

/**
 * @param {HTMLElement} place
 * @param {{ name: string, number?: boolean, long?: boolean, text?: (value: unknown) => string }[]} columns
 * @param {unknown[][]} rows by column
 */
export function table(place, columns, rows) {
  const order = orders.get(place);
  const key = columns.map(({ name }) => name).join('\n');
  let at = place.querySelector('table');
  if (at === null || at.dataset.key !== key) {
    at = document.createElement('table');
    at.dataset.key = key;
    at.append(
      head(place, columns, () => table(place, columns, place.rows ?? [])),
      document.createElement('tbody'),
    );
    place.replaceChildren(at);
    orders.delete(place);
  }
  place.rows = rows;
  const shown = order === undefined ? rows : [...rows].sort((a, b) => compare(a[order.column], b[order.column]) * order.sign);
  const body = document.createElement('tbody');
  for (const row of shown.slice(0, ROWS_SHOWN_MAX)) {
    const line = document.createElement('tr');
    columns.forEach(({ number, long, text = String }, column) => {
      const cell = document.createElement('td');
      cell.textContent = row[column] === null || row[column] === undefined ? '-' : text(row[column]);
      if (number) cell.className = 'number';
      if (long) cell.className = 'long';
      line.append(cell);
    });
    body.append(line);
  }
  at.tBodies[0].replaceWith(body);
}

function head(place, columns, again) {
  const part = document.createElement('thead');
  const line = document.createElement('tr');
  columns.forEach(({ name, number }, column) => {
    const cell = document.createElement('th');
    cell.scope = 'col';
    if (number) cell.className = 'number';
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = name;
    button.addEventListener('click', () => {
      const before = orders.get(place);
      const sign = before?.column === column ? -before.sign : number ? -1 : 1;
      orders.set(place, { column, sign });
      for (const other of line.children) other.removeAttribute('aria-sort');
      cell.setAttribute('aria-sort', sign > 0 ? 'ascending' : 'descending');
      again();
    });
    cell.append(button);
    line.append(cell);
  });
  part.append(line);
  return part;
}

function compare(a, b) {
  if (a === null || a === undefined) return b === null || b === undefined ? 0 : 1;
  if (b === null || b === undefined) return -1;
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return String(a).localeCompare(String(b), 'en', { numeric: true });
}

/** Terms and what they are, in a list of pairs. */
export function pairs(list, entries) {
  list.replaceChildren(
    ...entries.map(([term, text]) => {
      const name = document.createElement('dt');
      name.textContent = term;
      const value = document.createElement('dd');
      value.textContent = text;
      value.dataset.of = term;
      const pair = document.createElement('div');
      pair.append(name, value);
      return pair;
    }),
  );
}
