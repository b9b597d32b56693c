// A writer of cpio archives in the "newc" form that Linux unpacks as its initramfs
// (Documentation/driver-api/early-userspace/buffer-format.rst in the Linux sources).

const TYPE = { dir: 0o040000, file: 0o100000, link: 0o120000, char: 0o020000 };

const hex8 = (value) => (value >>> 0).toString(16).toUpperCase().padStart(8, '0');
const padTo4 = (length) => Buffer.alloc((4 - (length & 3)) & 3);

function record(ino, mode, name, data, rdev = [0, 0]) {
  const nameBytes = Buffer.from(`${name}\0`);
  const fields = [ino, mode, 0, 0, 1, 0, data.length, 0, 0, rdev[0], rdev[1], nameBytes.length, 0];
  const header = Buffer.from(`070701${fields.map(hex8).join('')}`);
  return Buffer.concat([
    header,
    nameBytes,
    padTo4(header.length + nameBytes.length),
    data,
    padTo4(data.length),
  ]);
}

/**
 * Packs entries, in order, into one archive; a directory must come before what it holds.
 *
 * Entries: `{ path, type: 'dir' | 'file' | 'link' | 'char', mode, data?, target?, rdev? }` where `mode` is the
 * permission bits, `target` a symbolic link's text and `rdev` a device's `[major, minor]`. Everything belongs to
 * root and carries time stamp 0, so equal input gives equal bytes.
 */
export function writeCpio(entries) {
  const records = entries.map((entry, index) => {
    const data =
      entry.type === 'link' ? Buffer.from(entry.target) : Buffer.from(entry.data ?? Buffer.alloc(0));
    return record(index + 1, TYPE[entry.type] | entry.mode, entry.path, data, entry.rdev);
  });
  records.push(record(0, 0, 'TRAILER!!!', Buffer.alloc(0)));
  const archive = Buffer.concat(records);
  return Buffer.concat([archive, Buffer.alloc(-archive.length & 511)]);
}
