#!/usr/bin/env node
// Fetches the test guests from Debian's packages into .cache/guests, without root. See --help.

import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { GuestError, PrivateApt } from './guests/apt.mjs';
import { GUESTS } from './guests/catalogue.mjs';

/** Where the guests live: `<guestsDir>/<name>/<file>`. */
export const guestsDir = join(dirname(dirname(fileURLToPath(import.meta.url))), '.cache', 'guests');

/** The path of one file of a guest, whether or not it has been fetched. */
export const guestFile = (name, file) => join(guestsDir, name, file);

/** True when every file of the guest `name` is there. */
export const haveGuest = (name) => GUESTS[name].files.every((file) => existsSync(guestFile(name, file)));

const HELP = `usage: node tools/fetch-guests.mjs [--force] [--list] NAME...|all

Fetches test guests from Debian's packages into .cache/guests/NAME/ (no root needed; package lists and downloads
stay in .cache/guests/.apt). A guest that is already there is left alone.

${Object.entries(GUESTS)
  .map(([name, { about, files }]) => `  ${name.padEnd(16)} ${about}\n${' '.repeat(19)}${files.join(', ')}`)
  .join('\n')}

For example, after "node tools/fetch-guests.mjs cloud busybox":

  bin/lyrebird-system-x86_64 -m 512 -nographic -kernel .cache/guests/cloud/vmlinuz \\
    -initrd .cache/guests/busybox/initrd.gz -append "console=ttyS0"
`;

/**
 * Makes sure the named guests are there, reporting progress through `log`.
 * Throws {@link GuestError} when Debian's packages cannot be had.
 */
export function fetchGuests(names, { log = () => {}, force = false } = {}) {
  let apt;
  for (const name of names) {
    const guest = GUESTS[name];
    if (!guest) throw new GuestError(`no guest "${name}": there are ${Object.keys(GUESTS).join(', ')}`);
    if (!force && haveGuest(name)) {
      log(`${name}: already there`);
      continue;
    }
    const say = (text) => log(`${name}: ${text}`);
    const out = join(guestsDir, name);
    // A folder for each guest: another process may be making another one.
    const unpackedDir = join(guestsDir, '.unpacked', name);
    mkdirSync(out, { recursive: true });
    apt ??= new PrivateApt(join(guestsDir, '.apt'));
    apt.log = say;
    guest.make({ apt, out, scratch: (sub) => join(unpackedDir, sub), log: say });
    rmSync(unpackedDir, { recursive: true, force: true });
    say(`ready in ${out}`);
  }
}

function main(args) {
  const names = args.filter((arg) => !arg.startsWith('-'));
  const unknown = args.find(
    (arg) => arg.startsWith('-') && !['--force', '--list', '--help', '-h'].includes(arg),
  );
  if (unknown) throw new GuestError(`unknown option ${unknown} (see --help)`);
  if (args.includes('--list')) return console.log(Object.keys(GUESTS).join('\n'));
  if (args.includes('--help') || args.includes('-h') || names.length === 0) return console.log(HELP);
  const started = Date.now();
  fetchGuests(names.includes('all') ? Object.keys(GUESTS).filter((name) => !GUESTS[name].optional) : names, {
    force: args.includes('--force'),
    log: (text) => console.log(`[${((Date.now() - started) / 1000).toFixed(1).padStart(6)} s] ${text}`),
  });
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    main(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof GuestError)) throw error;
    console.error(`fetch-guests: ${error.message}`);
    process.exitCode = 1;
  }
}
