// Brings servers from the registries into `.cache/servers/`, once: jars and archives by Maven, packages of npm. A folder that is
// there is complete: it is made under another name, and renamed at the end. One process of a user provisions at a time, in all
// copies of the repo, since they share Maven's own folder.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isAlive } from './processes.js';
import { findProgram } from './programs.js';
import { MAVEN_ARCHIVES, MAVEN_JARS, VERSIONS } from './versions.js';

const cache = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', '..', '.cache', 'servers');
const LOCK_POLL_MS = 200;

/** The user that servers run as that refuse root. */
export const NOBODY = 65_534;
export const isRoot = () => process.getuid?.() === 0;

/**
 * Whether every user may enter a folder: else a server that runs as another one cannot read it.
 *
 * @param {string} folder
 */
export function isOpen(folder) {
  let at = path.resolve(folder);
  while (!fs.existsSync(at)) at = path.dirname(at);
  for (; at !== path.dirname(at); at = path.dirname(at)) if ((fs.statSync(at).mode & 0o001) === 0) return false;
  return true;
}

/** @param {string} name */
export function homeOf(name) {
  const { version, archive, jars } = VERSIONS[name];
  const kind = archive !== undefined ? '' : jars !== undefined ? '-jars' : '-npm';
  const base = archive !== undefined && isRoot() && !isOpen(cache) ? path.join(os.tmpdir(), 'millrace-servers') : cache;
  return path.join(base, `${name}-${version}${kind}`);
}

/** Whether a server comes from a registry; others are of the system, or packages of npm. */
export const isFetched = (name) => ['archive', 'jars', 'npm'].some((kind) => VERSIONS[name][kind] !== undefined);

/**
 * What `provision` would lack, or undefined.
 *
 * @param {string} name
 * @returns {string | undefined}
 */
export function missingForProvision(name) {
  if (!isFetched(name) || fs.existsSync(homeOf(name))) return undefined;
  if (VERSIONS[name].npm !== undefined) return findProgram('npm') === undefined ? 'npm is missing: the first start fetches the server with it.' : undefined;
  return findProgram('mvn') === undefined ? 'Maven (mvn) is missing: the first start fetches the server with it (Debian: apt-get install maven).' : undefined;
}

/**
 * The folder of a server's artifacts, which are fetched if they are not there yet.
 *
 * @param {string} name
 * @returns {Promise<string>}
 */
export async function provision(name) {
  const home = homeOf(name);
  if (fs.existsSync(home)) return home;
  const release = await lock(path.join(os.tmpdir(), `millrace-provision-${process.getuid?.() ?? os.userInfo().username}`));
  try {
    if (fs.existsSync(home)) return home;
    const { version, archive, jars, npm } = VERSIONS[name];
    process.stderr.write(`Fetching ${name} ${version} into ${path.relative(process.cwd(), home)} (once)...\n`);
    const making = `${home}.partial-${process.pid}`;
    removeLeftovers(home);
    fs.mkdirSync(making, { recursive: true });
    if (archive !== undefined) await mavenUnpack(archive, making);
    else if (jars !== undefined) await mavenJars(VERSIONS[name], making);
    else await npmPackages(npm, making);
    fs.renameSync(making, home);
    return home;
  } finally {
    release();
  }
}

/** What processes have left that died while they fetched this server. */
function removeLeftovers(home) {
  const folder = path.dirname(home);
  if (!fs.existsSync(folder)) return;
  for (const name of fs.readdirSync(folder)) {
    const pid = name.startsWith(`${path.basename(home)}.partial-`) ? Number(name.split('-').at(-1)?.split('.')[0]) : undefined;
    if (pid !== undefined && (pid === process.pid || !isAlive(pid))) fs.rmSync(path.join(folder, name), { recursive: true, force: true });
  }
}

/**
 * A folder as a lock: making one is atomic. It names its owner, so that one whose owner has died is taken over.
 *
 * @param {string} folder
 * @returns {Promise<() => void>} releases it
 */
async function lock(folder) {
  const owner = path.join(folder, 'pid');
  for (;;) {
    // Made with its owner inside under another name: nobody sees it without one.
    const own = fs.mkdtempSync(`${folder}-`);
    fs.writeFileSync(path.join(own, 'pid'), String(process.pid));
    try {
      // Fails if the other is there, since that is not empty.
      fs.renameSync(own, folder);
      return () => fs.rmSync(folder, { recursive: true, force: true });
    } catch {
      fs.rmSync(own, { recursive: true, force: true });
    }
    if (!isAlive(readPid(owner))) fs.rmSync(folder, { recursive: true, force: true });
    await sleep(LOCK_POLL_MS);
  }
}

/** @param {string} file */
function readPid(file) {
  try {
    return Number(fs.readFileSync(file, 'utf8'));
  } catch {
    // Released in this moment.
    return process.pid;
  }
}

/**
 * Runs a program to its end.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {string} what it does, for the error
 * @param {import('node:child_process').SpawnOptions} [options]
 * @returns {Promise<string>} what it printed
 */
export function run(command, args, what, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (part) => (text += part));
    child.once('error', (error) => reject(new Error(`${command} could not ${what}: ${error.message}`)));
    child.once('close', (code) =>
      code === 0 ? resolve(text) : reject(new Error(`${command} could not ${what} (it ended with ${code}):\n${text.slice(-4000)}`)),
    );
  });
}

/** @param {readonly string[]} args */
const maven = (args, what, cwd) => run('mvn', ['-q', '-B', ...args], what, { cwd, shell: process.platform === 'win32' });

async function mavenUnpack(artifact, folder) {
  // It keeps marks of what it has unpacked under the folder in which it runs, by a name that it forgets to fill in, and would not do
  // it again.
  await maven([`${MAVEN_ARCHIVES}:unpack`, `-Dartifact=${artifact}`, `-DoutputDirectory=${folder}`], `fetch ${artifact}`, folder);
  fs.rmSync(path.join(folder, '${project.basedir}'), { recursive: true, force: true });
}

async function mavenJars(parts, folder) {
  const pom = `${folder}.pom.xml`;
  fs.writeFileSync(pom, pomOf(parts));
  try {
    const args = ['-f', pom, `${MAVEN_JARS}:copy-dependencies`, '-DincludeScope=runtime', `-DoutputDirectory=${folder}`];
    await maven(args, `fetch ${parts.jars.join(', ')}`, folder);
  } finally {
    fs.rmSync(pom, { force: true });
  }
}

/**
 * A list of jars as a project file: Maven resolves what they need.
 *
 * @param {{ jars: readonly string[], exclude?: Record<string, string>, managed?: readonly string[] }} parts
 */
function pomOf({ jars, exclude = {}, managed = [] }) {
  const dependency = (coordinates) => {
    const [group, artifact, version] = coordinates.split(':');
    const [outGroup, outArtifact] = exclude[`${group}:${artifact}`]?.split(':') ?? [];
    const out = outGroup === undefined ? '' : `<exclusions><exclusion>${tags({ groupId: outGroup, artifactId: outArtifact })}</exclusion></exclusions>`;
    return `<dependency>${tags({ groupId: group, artifactId: artifact, version })}${out}</dependency>`;
  };
  const all = (list) => `<dependencies>${list.map(dependency).join('')}</dependencies>`;
  const head = tags({ modelVersion: '4.0.0', groupId: 'local', artifactId: 'server', version: '1', packaging: 'pom' });
  const management = managed.length === 0 ? '' : `<dependencyManagement>${all(managed)}</dependencyManagement>`;
  return `<project xmlns="http://maven.apache.org/POM/4.0.0">${head}${management}${all(jars)}</project>\n`;
}

/** @param {Record<string, string>} entries */
const tags = (entries) =>
  Object.entries(entries)
    .map(([tag, text]) => `<${tag}>${text}</${tag}>`)
    .join('');

async function npmPackages(packages, folder) {
  // No scripts: what is compiled comes with the packages.
  const args = ['install', '--prefix', folder, '--no-audit', '--no-fund', '--no-save', '--ignore-scripts', ...packages];
  await run('npm', args, `fetch ${packages.join(' ')}`, { cwd: folder, shell: process.platform === 'win32' });
}
