// Debian packages without root: apt-get on a private state directory, so the host's package lists (often empty in
// containers), architectures and locks are neither needed nor touched.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const ARCHIVE = 'http://deb.debian.org/debian';
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const FALLBACK_SUITE = 'bookworm';

/** A failure the user can act on: printed without a stack trace. */
export class GuestError extends Error {}

function hostIs() {
  const text = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  const field = (name) => new RegExp(`^${name}="?([^"\\n]*)`, 'm').exec(text)?.[1] ?? '';
  return { id: field('ID'), codename: field('VERSION_CODENAME') };
}

/** Archives as `{ uri, suite, options }` out of one-line (`deb …`) and deb822 (`Types: deb …`) source entries. */
export function parseSources(text) {
  const found = [];
  for (const line of text.split('\n')) {
    const match = /^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+/.exec(line);
    if (match)
      found.push({ uri: match[2], suite: match[3], keyring: /signed-by=(\S+)/.exec(match[1] ?? '')?.[1] });
  }
  for (const stanza of text.split(/\n\s*\n/)) {
    const field = (name) => new RegExp(`^${name}:[ \\t]*(.*)$`, 'mi').exec(stanza)?.[1]?.trim() ?? '';
    if (!/\bdeb\b/.test(field('Types')) || /^no$/i.test(field('Enabled'))) continue;
    for (const uri of field('URIs').split(/\s+/))
      for (const suite of field('Suites').split(/\s+/))
        found.push({ uri, suite, keyring: field('Signed-By') || undefined });
  }
  return found;
}

/** The lines of a sources.list: what the host takes Debian itself from, or the public archive elsewhere. */
function sourceLines() {
  const { id, codename } = hostIs();
  const files = ['/etc/apt/sources.list'];
  const dir = '/etc/apt/sources.list.d';
  if (existsSync(dir))
    files.push(
      ...readdirSync(dir)
        .filter((f) => /\.(list|sources)$/.test(f))
        .map((f) => join(dir, f)),
    );
  const text = files
    .filter(existsSync)
    .map((file) => readFileSync(file, 'utf8'))
    .join('\n\n');
  const wanted = id === 'debian' ? codename : FALLBACK_SUITE;
  const entries = parseSources(text).filter(
    ({ suite }) => suite === wanted || suite.startsWith(`${wanted}-`),
  );
  if (!entries.some(({ suite }) => suite === wanted))
    entries.push({ uri: ARCHIVE, suite: wanted, keyring: undefined });
  return entries.map(({ uri, suite, keyring }) => {
    const key = keyring ?? (existsSync(KEYRING) ? KEYRING : undefined);
    return `deb ${key ? `[signed-by=${key}] ` : ''}${uri} ${suite} main`;
  });
}

/** A private apt under `dir`. Methods throw {@link GuestError} when packages cannot be had. */
export class PrivateApt {
  #dir;
  #options;
  /** Receives a line of progress at a time. */
  log = (_text) => {};
  #updated = false;

  constructor(dir) {
    this.#dir = dir;
    for (const sub of [
      'state/lists/partial',
      'cache/archives/partial',
      'etc/preferences.d',
      'etc/sources.list.d',
      'download',
    ])
      mkdirSync(join(dir, sub), { recursive: true });
    const status = join(dir, 'state/status');
    if (!existsSync(status)) writeFileSync(status, '');
    const config = {
      'Dir::State': join(dir, 'state'),
      'Dir::State::status': status,
      'Dir::Cache': join(dir, 'cache'),
      'Dir::Etc::sourcelist': join(dir, 'etc/sources.list'),
      'Dir::Etc::sourceparts': join(dir, 'etc/sources.list.d'),
      'Dir::Etc::preferences': join(dir, 'etc/none'),
      'Dir::Etc::preferencesparts': join(dir, 'etc/preferences.d'),
      'APT::Architecture': 'amd64',
      'APT::Architectures::': 'i386',
      'APT::Sandbox::User': '',
      'APT::Get::List-Cleanup': 'false',
      'APT::Update::Post-Invoke::': '',
      'APT::Update::Post-Invoke-Success::': '',
      'Acquire::Languages': 'none',
      'Acquire::Retries': '3',
      'Acquire::http::Timeout': '60',
      'Debug::NoLocking': 'true',
    };
    // A file rather than -o options, because only a file can clear a list ("#clear").
    const text = [
      '#clear APT::Update::Post-Invoke;',
      '#clear APT::Update::Post-Invoke-Success;',
      '#clear DPkg::Post-Invoke;',
      '#clear APT::Architectures;',
      'APT::Architectures { "amd64"; "i386"; };',
      ...Object.entries(config)
        .filter(([name]) => !name.endsWith('::'))
        .map(([name, value]) => `${name} "${value}";`),
    ].join('\n');
    const file = join(dir, 'etc/apt.conf');
    writeFileSync(file, `${text}\n`);
    this.#options = ['-c', file];
  }

  #run(program, args) {
    const result = spawnSync(program, [...this.#options, ...args], {
      cwd: join(this.#dir, 'download'),
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
      maxBuffer: 64 << 20,
    });
    if (result.error?.code === 'ENOENT')
      throw new GuestError(
        `${program} is missing: the test guests come from Debian packages, and this system has no apt`,
      );
    return result;
  }

  /** Fetches the package lists into the private directory, once a process. */
  update() {
    if (this.#updated) return;
    const lines = sourceLines();
    writeFileSync(join(this.#dir, 'etc/sources.list'), `${lines.join('\n')}\n`);
    this.log(`package lists from ${[...new Set(lines.map((l) => l.split(' ').at(-3)))].join(' and ')}`);
    const result = this.#run('apt-get', ['update', '-q']);
    const have = readdirSync(join(this.#dir, 'state/lists')).some((name) => name.includes('_Packages'));
    if (!have) {
      const reason = /^[EW]: .*$/m.exec(result.stderr)?.[0] ?? result.stderr.trim();
      throw new GuestError(`cannot fetch Debian's package lists (no network?): ${reason}`);
    }
    this.#updated = true;
  }

  /** The package that the meta package `name` (for example linux-image-cloud-amd64) depends on first. */
  resolveMeta(name) {
    this.update();
    const result = this.#run('apt-cache', ['depends', '--important', name]);
    const target = /Depends: <?([a-z0-9.+:-]+)>?/.exec(result.stdout)?.[1];
    if (!target) throw new GuestError(`Debian's package lists have no dependency for ${name}`);
    return name.includes(':') && !target.includes(':') ? `${target}:${name.split(':')[1]}` : target;
  }

  /** Downloads `name` (`pkg` or `pkg:i386`) if it is not there yet and unpacks it into `target`. */
  unpack(name, target) {
    this.update();
    this.log(`downloading ${name}`);
    const result = this.#run('apt-get', ['download', '-q', name]);
    if (result.status !== 0) {
      const reason = /^E: .*$/m.exec(result.stderr)?.[0] ?? result.stderr.trim();
      throw new GuestError(`cannot download the Debian package ${name}: ${reason}`);
    }
    const [base, arch] = name.split(':');
    const files = readdirSync(join(this.#dir, 'download'));
    const deb = files
      .filter((file) => file.startsWith(`${base}_`) && (!arch || file.endsWith(`_${arch}.deb`)))
      .filter((file) => arch || !file.endsWith('_i386.deb'))
      .sort()
      .at(-1);
    if (!deb) throw new GuestError(`apt-get said it downloaded ${name} but left no file`);
    this.log(`unpacking ${deb}`);
    const partial = `${target}.partial`;
    execFileSync('rm', ['-rf', partial, target]);
    mkdirSync(partial, { recursive: true });
    execFileSync('dpkg-deb', ['-x', join(this.#dir, 'download', deb), partial]);
    renameSync(partial, target);
  }
}
