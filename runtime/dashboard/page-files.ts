/** The files of the page, as routes: read once, sent with a policy that lets the page load nothing from elsewhere. */

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { Route, Routes } from '../observe/index.ts';

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
};

/** By path: the file beside this one; where it is of a package that the build copies, the package's own. */
const FILES: readonly (readonly [path: string, file: string, packaged?: string])[] = [
  ['/', 'index.html'],
  ['/page.css', 'page.css'],
  ['/page.js', 'page.js'],
  ['/charts.js', 'charts.js'],
  ['/plan.js', 'plan.js'],
  ['/tables.js', 'tables.js'],
  ['/values.js', 'values.js'],
  ['/uplot.js', 'uplot.js', 'uplot/dist/uPlot.esm.js'],
  ['/uplot.css', 'uplot.css', 'uplot/dist/uPlot.min.css'],
];

export function addPageFiles(routes: Routes): void {
  for (const [path, file, packaged] of FILES) routes.add(path, fileRoute(file, packaged));
}

function fileRoute(file: string, packaged: string | undefined): Route {
  let body: Buffer | undefined;
  return (request, response) => {
    body ??= readFileSync(placeOf(file, packaged));
    response.writeHead(200, { 'content-type': TYPES[file.slice(file.lastIndexOf('.') + 1)], 'content-security-policy': POLICY, 'content-length': body.length });
    response.end(request.method === 'HEAD' ? undefined : body);
  };
}

function placeOf(file: string, packaged: string | undefined): string {
  const beside = fileURLToPath(new URL(`./page/${file}`, import.meta.url));
  return packaged === undefined || existsSync(beside) ? beside : createRequire(import.meta.url).resolve(packaged);
}
