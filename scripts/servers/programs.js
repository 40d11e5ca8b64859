// The programs that servers need on this machine, and the text that says what to install when one is missing.

import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

/** Daemons are not on everybody's PATH. */
const FOLDERS = () => [...(process.env.PATH ?? '').split(path.delimiter).filter((folder) => folder !== ''), '/usr/local/sbin', '/usr/sbin', '/sbin'];
const JVMS = '/usr/lib/jvm';
/** @type {Map<string, number | undefined>} */
const majors = new Map();

/** @param {string} file */
function isProgram(file) {
  try {
    fs.accessSync(file, fs.constants.X_OK);
    return fs.statSync(file).isFile();
  } catch {
    // It is not there, or in a folder that is not for us.
    return false;
  }
}

/**
 * @param {string} name
 * @param {readonly string[]} [more] folders to look into, too
 * @returns {string | undefined} the path of a program
 */
export function findProgram(name, more = []) {
  const names = process.platform === 'win32' ? [`${name}.exe`, `${name}.cmd`, name] : [name];
  for (const folder of [...FOLDERS(), ...more]) {
    for (const each of names) {
      const file = path.join(folder, each);
      if (isProgram(file)) return file;
    }
  }
  return undefined;
}

/**
 * @param {string | undefined} program
 * @param {string} [flag]
 * @returns {string | undefined} the first thing like 1.2.3 that it prints
 */
export function installedVersion(program, flag = '--version') {
  if (program === undefined) return undefined;
  const { stdout, stderr } = spawnSync(program, [flag], { encoding: 'utf8' });
  return /\d+(\.\d+)+/.exec(`${stdout}${stderr}`)?.[0];
}

/** @param {string} java */
function javaMajor(java) {
  if (!majors.has(java)) {
    const probe = spawnSync(java, ['-version'], { encoding: 'utf8' });
    const [, first, second] = /version "(\d+)(?:\.(\d+))?/.exec(probe.stderr ?? '') ?? [];
    majors.set(java, probe.status !== 0 || first === undefined ? undefined : Number(first === '1' ? second : first));
  }
  return majors.get(java);
}

/** Java programs here: of JAVA_HOME, on the PATH, and where Debian puts them. */
function javas() {
  const ours = process.env.JAVA_HOME ? [path.join(process.env.JAVA_HOME, 'bin', 'java')] : [];
  const onPath = findProgram('java');
  const installed = fs.existsSync(JVMS) ? fs.readdirSync(JVMS).map((name) => path.join(JVMS, name, 'bin', 'java')) : [];
  return [...ours, ...(onPath === undefined ? [] : [onPath]), ...installed].filter((java) => fs.existsSync(java));
}

/**
 * The first Java that fits: of JAVA_HOME, then of the PATH, then of /usr/lib/jvm.
 *
 * @param {{ min: number, max?: number }} range major versions
 * @returns {{ java: string, home: string } | { missing: string }}
 */
export function findJava({ min, max = Number.POSITIVE_INFINITY }) {
  const found = javas();
  const java = found.find((each) => {
    const major = javaMajor(each);
    return major !== undefined && major >= min && major <= max;
  });
  if (java !== undefined) return { java, home: path.dirname(path.dirname(fs.realpathSync(java))) };
  const wanted = max === min ? `Java ${min}` : max === Number.POSITIVE_INFINITY ? `Java ${min} or newer` : `Java ${min} to ${max}`;
  const have = [...new Set(found.map(javaMajor).filter((major) => major !== undefined))];
  return {
    missing: `${wanted} is missing${have.length === 0 ? '' : ` (here: ${have.join(', ')})`}: install a JRE (Debian: apt-get install openjdk-${min}-jre-headless), or set JAVA_HOME.`,
  };
}
