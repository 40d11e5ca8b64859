// The plan as a graph: sources on the left, each step right of what feeds it. Rates stand at sources and sinks.

const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 190;
const HEIGHT = 44;
const GAP_X = 60;
const GAP_Y = 18;
const TITLE_MAX = 30;

function make(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, String(value));
  element.append(...children);
  return element;
}

/** By node: how far it is from a source, along the longest way. */
function layers({ nodes, edges }) {
  const depth = new Map(nodes.map(({ id }) => [id, 0]));
  // No way is longer than there are nodes.
  for (let round = 0; round < nodes.length; round++) {
    let moved = false;
    for (const { from, to } of edges) {
      if (depth.get(to) > depth.get(from)) continue;
      depth.set(to, depth.get(from) + 1);
      moved = true;
    }
    if (!moved) break;
  }
  return depth;
}

/**
 * @param {SVGElement} svg
 * @param {{ nodes: { id: string, kind: string, title: string, lines: string[] }[], edges: { from: string, to: string, rows: string }[] }} graph
 * @param {(text: string) => void} tell shows a step in full
 * @returns {(rates: Map<string, string>) => void} sets what stands at a node
 */
export function drawPlan(svg, graph, tell) {
  const depth = layers(graph);
  const columns = [];
  for (const node of graph.nodes) (columns[depth.get(node.id)] ??= []).push(node);
  const places = new Map();
  // Each beside the middle of what feeds it, as far as there is room.
  columns.forEach((column, x) => {
    const wanted = (node) => {
      const feeding = graph.edges.filter(({ to }) => to === node.id).map(({ from }) => places.get(from)?.y ?? 0);
      return feeding.length === 0 ? 0 : feeding.reduce((sum, y) => sum + y, 0) / feeding.length;
    };
    let y = 0;
    for (const node of [...column].sort((a, b) => wanted(a) - wanted(b))) {
      const at = Math.max(y, wanted(node));
      places.set(node.id, { x: x * (WIDTH + GAP_X), y: at });
      y = at + HEIGHT + GAP_Y;
    }
  });
  const right = Math.max(...[...places.values()].map(({ x }) => x)) + WIDTH + 4;
  const bottom = Math.max(...[...places.values()].map(({ y }) => y)) + HEIGHT + 4;
  svg.setAttribute('width', String(right));
  svg.setAttribute('height', String(bottom));
  svg.setAttribute('viewBox', `-2 -2 ${right} ${bottom}`);
  const rates = new Map();
  svg.replaceChildren();
  for (const { from, to, rows } of graph.edges) {
    const a = places.get(from);
    const b = places.get(to);
    const [x1, y1, x2, y2] = [a.x + WIDTH, a.y + HEIGHT / 2, b.x, b.y + HEIGHT / 2];
    const line = make('path', { d: `M${x1} ${y1} C${x1 + GAP_X / 2} ${y1} ${x2 - GAP_X / 2} ${y2} ${x2} ${y2}`, class: rows });
    line.append(make('title', {}, rows === 'all' ? 'all rows' : `rows that are ${rows}`));
    svg.append(line);
  }
  for (const node of graph.nodes) {
    const { x, y } = places.get(node.id);
    const title = node.title.length > TITLE_MAX ? `${node.title.slice(0, TITLE_MAX - 1)}…` : node.title;
    const rate = make('text', { x: 8, y: 34, class: 'rate' });
    rates.set(node.id, rate);
    const group = make(
      'g',
      { class: `node ${node.kind}`, transform: `translate(${x} ${y})`, tabindex: 0, role: 'button', 'aria-label': `${node.kind} ${node.title}` },
      make('rect', { width: WIDTH, height: HEIGHT, rx: 6 }),
      make('text', { x: 8, y: 17 }, title),
      rate,
    );
    const show = () => tell([`${node.kind}: ${node.title}`, ...node.lines].join('\n'));
    group.addEventListener('click', show);
    group.addEventListener('focus', show);
    svg.append(group);
  }
  return (texts) => {
    for (const [id, text] of texts) if (rates.has(id)) rates.get(id).textContent = text;
  };
}
