"use strict";
exports.id = 784;
exports.ids = [784];
exports.modules = {

/***/ 784:
/***/ ((__unused_webpack_module, __webpack_exports__, __webpack_require__) => {


// EXPORTS
__webpack_require__.d(__webpack_exports__, {
  SftpSite: () => (/* binding */ SftpSite)
});

// EXTERNAL MODULE: external "node:crypto"
var external_node_crypto_ = __webpack_require__(7598);
// EXTERNAL MODULE: external "node:v8"
var external_node_v8_ = __webpack_require__(8877);
// EXTERNAL MODULE: ./src/context.ts
var context = __webpack_require__(788);
// EXTERNAL MODULE: ./src/failure.ts
var src_failure = __webpack_require__(1633);
// EXTERNAL MODULE: ./src/ssh/byte-string.ts
var byte_string = __webpack_require__(4990);
;// CONCATENATED MODULE: ./src/ssh/sftp-packets.ts
// Packets of the SSH File Transfer Protocol, version 3 (draft-ietf-secsh-filexfer-02), which OpenSSH and nearly every
// other server speak. Why not the client of ssh2: it takes and gives names as text, and a name on a Unix system is bytes.
const Request = {
    init: 1,
    open: 3,
    close: 4,
    read: 5,
    write: 6,
    lstat: 7,
    setstat: 9,
    fsetstat: 10,
    opendir: 11,
    readdir: 12,
    remove: 13,
    mkdir: 14,
    rmdir: 15,
    realpath: 16,
    stat: 17,
    readlink: 19,
    symlink: 20,
    extended: 200,
};
const Response = {
    version: 2,
    status: 101,
    handle: 102,
    data: 103,
    name: 104,
    attrs: 105,
    extended: 201,
};
const Status = { ok: 0, end: 1, noSuchFile: 2, permissionDenied: 3, unsupported: 8 };
/** How a file is opened (SSH_FXF_*). */
const OpenFlags = { read: 1, write: 2, create: 8, truncate: 16, exclusive: 32 };
const HAS_SIZE = 1;
const HAS_OWNER = 2;
const HAS_MODE = 4;
const HAS_TIMES = 8;
const HAS_MORE = 0x80000000;
/** One request with its length in front. */
function encodePacket(type, fields) {
    const parts = [{ byte: type }, ...fields].map(encodeField);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(parts.reduce((sum, part) => sum + part.length, 0));
    return Buffer.concat([length, ...parts]);
}
function encodeField(field) {
    if ('byte' in field)
        return Buffer.from([field.byte]);
    if ('int' in field)
        return uint32(field.int);
    if ('long' in field)
        return uint64(field.long);
    if ('attributes' in field)
        return encodeAttributes(field.attributes);
    const bytes = typeof field.bytes === 'string' ? Buffer.from(field.bytes, 'latin1') : field.bytes;
    return Buffer.concat([uint32(bytes.length), bytes]);
}
function encodeAttributes({ size, mode, mtime }) {
    const flags = (size === undefined ? 0 : HAS_SIZE) |
        (mode === undefined ? 0 : HAS_MODE) |
        (mtime === undefined ? 0 : HAS_TIMES);
    const parts = [uint32(flags)];
    if (size !== undefined)
        parts.push(uint64(size));
    if (mode !== undefined)
        parts.push(uint32(mode));
    // The time of the last access comes first.
    if (mtime !== undefined)
        parts.push(uint32(mtime), uint32(mtime));
    return Buffer.concat(parts);
}
function uint32(value) {
    const buffer = Buffer.alloc(4);
    buffer.writeUInt32BE(value);
    return buffer;
}
function uint64(value) {
    const buffer = Buffer.alloc(8);
    buffer.writeBigUInt64BE(BigInt(value));
    return buffer;
}
/** Reads the fields of one response; throws a RangeError where it is shorter than it says. */
class PacketReader {
    #bytes;
    #at = 0;
    constructor(bytes) {
        this.#bytes = bytes;
    }
    get isAtEnd() {
        return this.#at >= this.#bytes.length;
    }
    byte() {
        return this.#bytes.readUInt8(this.#at++);
    }
    int() {
        this.#at += 4;
        return this.#bytes.readUInt32BE(this.#at - 4);
    }
    long() {
        this.#at += 8;
        return Number(this.#bytes.readBigUInt64BE(this.#at - 8));
    }
    buffer() {
        const length = this.int();
        if (this.#at + length > this.#bytes.length)
            throw new RangeError('a field is longer than its packet');
        this.#at += length;
        return this.#bytes.subarray(this.#at - length, this.#at);
    }
    text() {
        return this.buffer().toString('latin1');
    }
    attributes() {
        const flags = this.int();
        const size = flags & HAS_SIZE ? { size: this.long() } : {};
        if (flags & HAS_OWNER)
            this.long();
        const mode = flags & HAS_MODE ? { mode: this.int() } : {};
        let mtime = {};
        if (flags & HAS_TIMES) {
            this.int();
            mtime = { mtime: this.int() };
        }
        // Bit 31: `&` gives a negative number, which is as true as any.
        if (flags & HAS_MORE) {
            for (let left = this.int(); left > 0; left--) {
                this.buffer();
                this.buffer();
            }
        }
        return { ...size, ...mode, ...mtime };
    }
}

;// CONCATENATED MODULE: ./src/ssh/sftp-session.ts



/** What the server said to one request. */
class SftpError extends src_failure/* Failure */.HR {
    name = 'SftpError';
    code;
    constructor(host, what, code, message) {
        super(`the server could not ${what}`, { host, seen: message || `status ${code}` });
        this.code = code;
    }
}
/** Requests on their way, and bytes in them: sshd's window for a channel is as large. */
const MAX_REQUESTS = 512;
const MAX_BYTES = 2 * 1024 * 1024;
/** On a slow link less is under way, so that a request of another kind gets through soon. */
const SLOW_ANSWER_MS = 4_000;
const MIN_BYTES = 128 * 1024;
const MAX_PACKET = 1024 * 1024;
/**
 * Requests and their answers over one channel. A request is sent without waiting for the answers to those before, as
 * long as not too much is on its way.
 */
class SftpSession {
    host;
    /** Names of the server's extensions. */
    extensions;
    #channel;
    #waiting = new Map();
    /** Those for whom there is no room yet. */
    #queue = [];
    #bytes = 0;
    #mayBytes = MAX_BYTES;
    #next = 0;
    #lost;
    constructor(host, channel, extensions) {
        this.host = host;
        this.#channel = channel;
        this.extensions = extensions;
    }
    /** Starts a session; throws a `Failure` where the server offers none. */
    static async open(connection) {
        const channel = await connection.openSubsystem('sftp');
        const lost = () => new src_failure/* Failure */.HR('the SFTP session ended in the middle of its work', {
            host: connection.name,
            seen: 'the server closed it',
            hint: 'run the job again: it looks at the state of the server first',
            // No process there gives anything up by itself.
            unsettled: true,
        });
        return new Promise((resolve, reject) => {
            let session;
            const parser = new PacketSplitter((packet) => {
                if (session !== undefined)
                    return session.#take(packet);
                session = new SftpSession(connection.name, channel, readVersion(packet));
                resolve(session);
            });
            channel.on('data', (chunk) => {
                try {
                    parser.push(chunk);
                }
                catch (error) {
                    const failure = new src_failure/* Failure */.HR('the server speaks no SFTP that is understood', {
                        host: connection.name,
                        seen: error instanceof Error ? error.message : String(error),
                    });
                    reject(failure);
                    if (session !== undefined)
                        session.#end(failure);
                    channel.destroy();
                }
            });
            channel.on('error', () => { });
            channel.stderr.resume();
            channel.once('close', () => {
                reject(lost());
                if (session !== undefined)
                    session.#end(lost());
            });
            channel.write(encodePacket(Request.init, [{ int: 3 }]));
        });
    }
    close() {
        this.#channel.end();
    }
    /** Waits while so much is on its way that more would only fill memory. */
    async whenRoom() {
        if (this.#hasRoom && this.#queue.length === 0)
            return;
        await new Promise((resolve) => this.#queue.push(resolve));
    }
    /**
     * Sends a request and waits for its answer. `what` and `path` tell people what could not be done; `expected` is how
     * many bytes the answer may have. Throws an `SftpError` with what the server says against it.
     */
    async ask(what, path, type, fields, expected = 0) {
        const id = this.#next++ >>> 0;
        const packet = encodePacket(type, [{ int: id }, ...fields]);
        const bytes = Math.max(packet.length, expected);
        const name = path === '' ? what : `${what} '${(0,byte_string/* fromByteString */.q)(path)}'`;
        return new Promise((resolve, reject) => {
            const send = () => {
                if (this.#lost !== undefined)
                    return reject(this.#lost);
                this.#bytes += bytes;
                this.#waiting.set(id, {
                    bytes,
                    since: performance.now(),
                    reject,
                    resolve: (answer, kind) => {
                        if (kind !== Response.status)
                            return resolve({ answer, code: Status.ok });
                        const code = answer.int();
                        if (code === Status.ok || code === Status.end)
                            return resolve({ answer, code });
                        const message = answer.isAtEnd ? '' : (0,byte_string/* fromByteString */.q)(answer.text());
                        reject(new SftpError(this.host, name, code, message));
                    },
                });
                this.#channel.write(packet);
            };
            // In the order in which they were made.
            if (this.#hasRoom && this.#queue.length === 0)
                send();
            else
                this.#queue.push(send);
        });
    }
    get #hasRoom() {
        return this.#waiting.size < MAX_REQUESTS && this.#bytes < this.#mayBytes;
    }
    #take(packet) {
        const reader = new PacketReader(packet);
        const type = reader.byte();
        const id = reader.int();
        const one = this.#waiting.get(id);
        if (one === undefined)
            throw new RangeError('an answer that nobody waits for');
        // First: one whose answer cannot be understood still waits, and is told by `#end`.
        one.resolve(reader, type);
        this.#waiting.delete(id);
        this.#bytes -= one.bytes;
        if (performance.now() - one.since > SLOW_ANSWER_MS) {
            this.#mayBytes = Math.max(MIN_BYTES, Math.min(this.#mayBytes, this.#bytes));
        }
        while (this.#hasRoom && this.#queue.length > 0)
            this.#queue.shift()?.();
    }
    #end(failure) {
        this.#lost ??= failure;
        for (const one of this.#waiting.values())
            one.reject(this.#lost);
        this.#waiting.clear();
        // Nothing is on its way any more: whoever asks from now on must not queue for room.
        this.#bytes = 0;
        for (const send of this.#queue.splice(0))
            send();
    }
}
function readVersion(packet) {
    const reader = new PacketReader(packet);
    if (reader.byte() !== Response.version)
        throw new RangeError('its first packet is not its version');
    const version = reader.int();
    if (version !== 3)
        throw new RangeError(`version ${version} instead of 3`);
    const names = new Set();
    while (!reader.isAtEnd) {
        names.add(reader.text());
        reader.buffer();
    }
    return names;
}
/** Cuts what comes into packets. */
class PacketSplitter {
    #onPacket;
    #rest = Buffer.alloc(0);
    constructor(onPacket) {
        this.#onPacket = onPacket;
    }
    push(chunk) {
        this.#rest = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
        while (this.#rest.length >= 4) {
            const end = 4 + this.#rest.readUInt32BE(0);
            if (end > MAX_PACKET)
                throw new RangeError(`a packet of ${end} bytes`);
            if (this.#rest.length < end)
                return;
            const packet = this.#rest.subarray(4, end);
            this.#rest = this.#rest.subarray(end);
            this.#onPacket(packet);
        }
    }
}

;// CONCATENATED MODULE: ./src/ssh/sftp.ts


/** Servers must take packets of this much data (the draft's section 3); most take more. */
const SFTP_CHUNK = 32 * 1024;
/** By the upper bits of a mode, stat(2)'s S_IFMT. */
const KINDS = new Map([
    [0o100000, 'file'],
    [0o040000, 'folder'],
    [0o120000, 'link'],
]);
/**
 * The operations of SFTP. Each is sent without waiting for the answers to those before; the protocol has the server
 * work on those for one file in the order in which they come (section 6.1 of the draft). Every path is a byte string.
 */
class Sftp {
    #session;
    constructor(session) {
        this.#session = session;
    }
    /** Starts a session; throws a `Failure` where the server offers none. */
    static async open(connection) {
        return new Sftp(await SftpSession.open(connection));
    }
    get host() {
        return this.#session.host;
    }
    /** Names of the server's extensions. */
    get extensions() {
        return this.#session.extensions;
    }
    close() {
        this.#session.close();
    }
    /** Waits while so much is on its way that more would only fill memory. */
    whenRoom() {
        return this.#session.whenRoom();
    }
    async lstat(path) {
        const { answer } = await this.#session.ask('look at', path, Request.lstat, [{ bytes: path }]);
        return fileStatus(answer.attributes());
    }
    async stat(path) {
        const { answer } = await this.#session.ask('look at', path, Request.stat, [{ bytes: path }]);
        return fileStatus(answer.attributes());
    }
    async setstat(path, attributes) {
        await this.#session.ask('change the mode of', path, Request.setstat, [{ bytes: path }, { attributes }]);
    }
    async open(path, flags, mode = 0o600) {
        const fields = [{ bytes: path }, { int: flags }, { attributes: { mode } }];
        const what = flags & OpenFlags.write ? 'write' : 'read';
        const { answer } = await this.#session.ask(what, path, Request.open, fields);
        return Buffer.from(answer.buffer());
    }
    async closeHandle(handle) {
        await this.#session.ask('close a file', '', Request.close, [{ bytes: handle }]);
    }
    async fsetstat(handle, attributes) {
        await this.#session.ask('change the mode of a file', '', Request.fsetstat, [
            { bytes: handle },
            { attributes },
        ]);
    }
    async write(handle, offset, data) {
        await this.#session.ask('write a file', '', Request.write, [
            { bytes: handle },
            { long: offset },
            { bytes: data },
        ]);
    }
    /** Undefined at the end of the file. May give less than was asked for. */
    async read(handle, offset, length) {
        const fields = [{ bytes: handle }, { long: offset }, { int: length }];
        const { answer, code } = await this.#session.ask('read a file', '', Request.read, fields, length);
        return code === Status.end ? undefined : Buffer.from(answer.buffer());
    }
    /** What lies in a folder, without `.` and `..`. */
    async readdir(path) {
        const { answer } = await this.#session.ask('list', path, Request.opendir, [{ bytes: path }]);
        const handle = Buffer.from(answer.buffer());
        const found = [];
        try {
            for (;;) {
                const { answer: names, code } = await this.#session.ask('list', path, Request.readdir, [
                    { bytes: handle },
                ]);
                if (code === Status.end)
                    return found;
                for (let left = names.int(); left > 0; left--) {
                    const name = names.text();
                    // `ls -l` style, for people.
                    names.buffer();
                    const status = fileStatus(names.attributes());
                    if (name !== '.' && name !== '..')
                        found.push({ name, ...status });
                }
            }
        }
        finally {
            await this.closeHandle(handle);
        }
    }
    async remove(path) {
        await this.#session.ask('remove', path, Request.remove, [{ bytes: path }]);
    }
    async rmdir(path) {
        await this.#session.ask('remove', path, Request.rmdir, [{ bytes: path }]);
    }
    async mkdir(path, mode) {
        await this.#session.ask('make the folder', path, Request.mkdir, [
            { bytes: path },
            { attributes: { mode } },
        ]);
    }
    /** Without symbolic links. */
    async realpath(path) {
        return this.#name('resolve', path, Request.realpath);
    }
    async readlink(path) {
        return this.#name('read the link', path, Request.readlink);
    }
    async #name(what, path, type) {
        const { answer } = await this.#session.ask(what, path, type, [{ bytes: path }]);
        return answer.int() > 0 ? answer.text() : '';
    }
    /** In OpenSSH's order of the two paths (its PROTOCOL, 4.1), which others follow: see that the link reads right. */
    async symlink(to, path) {
        await this.#session.ask('make the link', path, Request.symlink, [{ bytes: to }, { bytes: path }]);
    }
    /** rename(2): replaces what is there. */
    async rename(from, to) {
        await this.#extended('posix-rename@openssh.com', 'rename to', to, [{ bytes: from }, { bytes: to }]);
    }
    async hardlink(from, to) {
        await this.#extended('hardlink@openssh.com', 'link', to, [{ bytes: from }, { bytes: to }]);
    }
    /** Copies a whole open file into another on the server (draft-ietf-secsh-filexfer-extensions-00, section 7). */
    async copyData(from, to) {
        const whole = [{ bytes: from }, { long: 0 }, { long: 0 }, { bytes: to }, { long: 0 }];
        await this.#extended('copy-data', 'copy a file', '', whole);
    }
    /** What is free for this user where a folder lies; undefined where the server does not tell (its PROTOCOL, 4.4). */
    async freeSpace(path) {
        if (!this.extensions.has('statvfs@openssh.com'))
            return undefined;
        const { answer } = await this.#extended('statvfs@openssh.com', 'look at', path, [{ bytes: path }]);
        answer.long();
        const blockBytes = answer.long();
        answer.long();
        answer.long();
        const bytes = answer.long() * blockBytes;
        const isCounted = answer.long() > 0;
        answer.long();
        const free = answer.long();
        answer.long();
        const files = isCounted ? free : Number.POSITIVE_INFINITY;
        return { bytes, files, isReadOnly: answer.long() % 2 === 1 };
    }
    #extended(name, what, path, fields) {
        return this.#session.ask(what, path, Request.extended, [{ bytes: name }, ...fields]);
    }
}
function fileStatus({ size = 0, mode = 0, mtime = 0 }) {
    return { kind: KINDS.get(mode & 0o170000) ?? 'other', size, mode: mode & 0o777, mtime };
}

;// CONCATENATED MODULE: ./src/ssh/sftp-files.ts



/** Files and folders that are worked on at once; each takes a few requests that wait for each other. */
const WIDTH = 64;
const isMissing = (error) => error instanceof SftpError && error.code === Status.noSuchFile;
/** Resolves with undefined where what was asked for is not there. */
async function ifThere(work) {
    try {
        return await work;
    }
    catch (error) {
        if (isMissing(error))
            return undefined;
        throw error;
    }
}
/** Works on all items, some at once. After a failure no further one is begun, and those begun are waited for. */
async function inParallel(items, work, width = WIDTH) {
    const left = items[Symbol.iterator]();
    let failed;
    const one = async () => {
        for (let next = left.next(); !next.done && failed === undefined; next = left.next()) {
            try {
                await work(next.value);
            }
            catch (error) {
                failed ??= { error };
            }
        }
    };
    await Promise.all(Array.from({ length: width }, one));
    if (failed !== undefined)
        throw failed.error;
}
/** A file's content, piece by piece, some of them asked for ahead. */
async function* readPieces(sftp, path) {
    const handle = await sftp.open(path, OpenFlags.read);
    try {
        const asked = [];
        let ahead = 0;
        // Most files are small: more at once where a whole piece has come.
        let most = 1;
        for (;;) {
            while (asked.length < most) {
                const answer = sftp.read(handle, ahead, SFTP_CHUNK);
                answer.catch(() => { });
                asked.push({ at: ahead, answer });
                ahead += SFTP_CHUNK;
            }
            const { at, answer } = asked.shift();
            const piece = await answer;
            if (piece === undefined)
                return;
            yield piece;
            most = piece.length === SFTP_CHUNK ? 16 : 1;
            if (piece.length === SFTP_CHUNK)
                continue;
            // A short answer is not the end: go on right after it.
            asked.length = 0;
            ahead = at + piece.length;
        }
    }
    finally {
        await sftp.closeHandle(handle);
    }
}
async function readFile(sftp, path) {
    const pieces = [];
    for await (const piece of readPieces(sftp, path))
        pieces.push(piece);
    return Buffer.concat(pieces);
}
/**
 * Writes a new file (or over an old one) and gives it its mode and time. What `before` throws, called ahead of each
 * request, ends it.
 */
async function writeFile(sftp, path, content, { mode = 0o600, mtime, before } = {}) {
    before?.();
    const handle = await sftp.open(path, OpenFlags.write | OpenFlags.create | OpenFlags.truncate);
    let first;
    const sent = [];
    const note = (request) => sent.push(request.catch((error) => {
        first ??= { error };
    }));
    try {
        let at = 0;
        for await (const piece of Buffer.isBuffer(content) ? [content] : content) {
            for (let from = 0; from < piece.length; from += SFTP_CHUNK) {
                await sftp.whenRoom();
                before?.();
                const data = piece.subarray(from, from + SFTP_CHUNK);
                note(sftp.write(handle, at, data));
                at += data.length;
            }
            if (first !== undefined)
                break;
        }
        before?.();
        note(sftp.fsetstat(handle, { mode, ...(mtime === undefined ? {} : { mtime }) }));
    }
    finally {
        // Sent before the answers to the writes have come, which they follow.
        note(sftp.closeHandle(handle));
        await Promise.all(sent);
    }
    if (first !== undefined)
        throw first.error;
}
/** Everything below a folder by its relative path, without what `skip` names; folders before what lies in them. */
async function listTree(sftp, root, skip = () => false) {
    const found = new Map();
    let folders = [''];
    while (folders.length > 0) {
        const next = [];
        await inParallel(folders, async (folder) => {
            for (const { name, ...status } of await sftp.readdir(folder === '' ? root : `${root}/${folder}`)) {
                const path = folder === '' ? name : `${folder}/${name}`;
                if (skip(path))
                    continue;
                found.set(path, status);
                if (status.kind === 'folder')
                    next.push(path);
            }
        });
        folders = next;
    }
    return found;
}
/** Removes a file or a folder with all that it holds; nothing where there is none. Never follows a link. */
async function removeTree(sftp, path) {
    const top = await ifThere(sftp.lstat(path));
    if (top === undefined)
        return;
    if (top.kind !== 'folder')
        return void (await ifThere(sftp.remove(path)));
    const entries = [...(await listTree(sftp, path))];
    const files = entries.filter(([, { kind }]) => kind !== 'folder');
    await inParallel(files, async ([name]) => void (await ifThere(sftp.remove(`${path}/${name}`))), 256);
    const folders = entries.filter(([, { kind }]) => kind === 'folder').map(([name]) => name);
    await inLevels(folders, (name) => sftp.rmdir(`${path}/${name}`), 'deepest first');
    await sftp.rmdir(path);
}
/** Works on folders level by level, so that none is begun before those that it lies in (or that lie in it) are done. */
async function inLevels(folders, work, order) {
    const levels = new Map();
    for (const folder of folders) {
        const depth = folder.split('/').length;
        levels.set(depth, [...(levels.get(depth) ?? []), folder]);
    }
    const sorted = [...levels].sort(([a], [b]) => (order === 'top first' ? a - b : b - a));
    for (const [, level] of sorted)
        await inParallel(level, work, 256);
}
/** A folder and those that it lies in, where they are missing. */
async function makeFolders(sftp, path, mode) {
    const parts = path.split('/').filter((part) => part !== '');
    const all = parts.map((_, at) => `/${parts.slice(0, at + 1).join('/')}`);
    const there = await Promise.all(all.map((folder) => ifThere(sftp.stat(folder))));
    for (const [at, folder] of all.entries()) {
        if (there[at] === undefined)
            await makeFolder(sftp, folder, mode);
    }
}
/** A folder, which may be there already. The protocol knows no answer of its own for that. */
async function makeFolder(sftp, path, mode) {
    try {
        await sftp.mkdir(path, mode);
    }
    catch (error) {
        const there = await sftp.stat(path).catch(() => undefined);
        if (there?.kind !== 'folder')
            throw error;
    }
}
/** A second name for a file, or a copy where the server makes no links. Nothing may be there yet. */
async function linkOrCopy(sftp, from, to, status) {
    if (sftp.extensions.has('hardlink@openssh.com')) {
        try {
            await sftp.hardlink(from, to);
            return 'linked';
        }
        catch (error) {
            // Another file system, or one without links: its `FAILURE` says no more.
            if (!(error instanceof SftpError) || isMissing(error))
                throw error;
        }
    }
    if (!sftp.extensions.has('copy-data')) {
        await writeFile(sftp, to, readPieces(sftp, from), status);
        return 'sent again';
    }
    const source = await sftp.open(from, OpenFlags.read);
    try {
        const copy = await sftp.open(to, OpenFlags.write | OpenFlags.create | OpenFlags.truncate);
        try {
            await sftp.copyData(source, copy);
            await sftp.fsetstat(copy, status);
        }
        finally {
            await sftp.closeHandle(copy);
        }
    }
    finally {
        await sftp.closeHandle(source);
    }
    return 'copied';
}

// EXTERNAL MODULE: ./src/release/manifest.ts
var release_manifest = __webpack_require__(4776);
;// CONCATENATED MODULE: ./src/release/sftp-desk.ts





/** What both ways of serving need to work on a server through SFTP. Paths are absolute byte strings. */
class SftpDesk {
    sftp;
    /** The site's root. */
    root;
    /** The folder of the action. */
    state;
    /** Random, of this connection. */
    mark;
    log;
    /** Undefined in a dry run, which changes nothing. */
    lease;
    #count = 0;
    constructor(sftp, root, state, mark, log) {
        this.sftp = sftp;
        this.root = root;
        this.state = state;
        this.mark = mark;
        this.log = log;
    }
    /** Throws unless this run still holds the site's lock. To be called right before anything is changed. */
    guard = () => {
        if (this.lease === undefined)
            throw new TypeError('a change without the lock');
        this.lease.assertHeld();
    };
    /** A path in the folder that goes with the lock. */
    scratch(name) {
        this.guard();
        return `${this.lease?.folder}/${name}.${this.#count++}`;
    }
    async rename(from, to) {
        this.guard();
        await this.sftp.rename(from, to);
    }
    /** Puts a small file into its place by one rename, which fails once another holds the lock. */
    async commit(path, text) {
        const fresh = this.scratch('file');
        await writeFile(this.sftp, fresh, Buffer.from(text, 'latin1'));
        await this.rename(fresh, path);
    }
    /** Takes a file or folder out of the way by one rename; it is gone with the lock. Nothing where there is none. */
    async retire(path) {
        const aside = this.scratch('gone');
        await ifThere(this.sftp.rename(path, aside));
    }
    async firstLine(path) {
        return (await this.lines(path))[0] ?? '';
    }
    /** Lines of a small file, none where it is missing. */
    async lines(path) {
        const text = await ifThere(readFile(this.sftp, path));
        return text === undefined ? [] : text.toString('latin1').split('\n');
    }
    async manifest(path) {
        const stored = await ifThere(readFile(this.sftp, path));
        return stored === undefined
            ? undefined
            : (0,release_manifest/* decodeManifest */.MK)(stored, { host: this.sftp.host, path: (0,byte_string/* fromByteString */.q)(path) });
    }
    /** First 128 bits of the SHA-256 of a file on the server, which comes here for it. */
    async hash(path) {
        let first;
        let hash;
        for await (const piece of readPieces(this.sftp, path)) {
            if (first === undefined)
                first = piece;
            else {
                hash ??= (0,external_node_crypto_.createHash)('sha256').update(first);
                hash.update(piece);
            }
        }
        // Most files are small, and what is made for each of a hundred thousand stays in memory for a while.
        return hash?.digest().toString('hex', 0, 16) ?? (0,external_node_crypto_.hash)('sha256', first ?? '', 'hex').slice(0, 32);
    }
    /** What lies there, by what the files hold; symbolic links without where they lead, so that they are made anew. */
    async hashed(root, listed) {
        const hashes = new Map();
        await inParallel(listed, async ([path, { kind }]) => {
            if (kind === 'file')
                hashes.set(path, await this.hash(`${root}/${path}`));
        });
        return (0,release_manifest/* makeManifest */.Ui)((function* () {
            for (const [path, status] of listed) {
                const entry = toEntry(path, status, hashes.get(path) ?? '');
                if (entry !== undefined)
                    yield entry;
            }
        })());
    }
    /** Takes up what an unfinished upload of a release has brought, under this run's mark, or makes a new place for it. */
    async takeStage(release) {
        const stage = `${this.state}/staging/${release}+${this.mark}`;
        const left = (await this.sftp.readdir(`${this.state}/staging`))
            .filter(({ name, kind }) => kind === 'folder' && name.startsWith(`${release}+`))
            .sort((a, b) => b.mtime - a.mtime);
        const [newest, ...older] = left;
        for (const { name } of older)
            await this.retire(`${this.state}/staging/${name}`);
        this.guard();
        if (newest === undefined) {
            await this.sftp.mkdir(stage, 0o700);
            await this.sftp.mkdir(`${stage}/tree`, 0o700);
            return { stage, isOld: false };
        }
        await this.rename(`${this.state}/staging/${newest.name}`, stage);
        await makeFolder(this.sftp, `${stage}/tree`, 0o700);
        return { stage, isOld: true };
    }
    /** Folders for what is shared between releases. */
    async makeShared(linked) {
        for (const path of linked) {
            const folder = path.endsWith('/') ? path.slice(0, -1) : path.split('/').slice(0, -1).join('/');
            this.guard();
            await makeFolders(this.sftp, `${this.root}/shared/${(0,byte_string/* toByteString */.p)(folder)}`, 0o755);
        }
    }
    /** What nobody will take up again: unfinished uploads, and what dead runs left of their locks. */
    async sweep() {
        const { state, sftp } = this;
        const [staging, all] = await Promise.all([sftp.readdir(`${state}/staging`), sftp.readdir(state)]);
        const left = [
            ...staging.map(({ name }) => `${state}/staging/${name}`),
            ...all.filter(({ name }) => /^lease\.gone\./.test(name)).map(({ name }) => `${state}/${name}`),
            `${state}/trash`,
        ];
        for (const path of left)
            await this.retire(path);
        // Somebody may be waiting for the lock by one of these.
        for (const { name, mtime } of all.filter(({ name }) => /^lease\.new\./.test(name))) {
            const beat = await ifThere(sftp.lstat(`${state}/${name}/${name.slice('lease.new.'.length)}/beat`));
            const now = (await sftp.lstat(`${this.lease?.folder}/beat`)).mtime;
            if (now - (beat?.mtime ?? mtime) > 3600)
                await removeTree(sftp, `${state}/${name}`);
        }
    }
}
function toEntry(path, status, hash) {
    const { kind, size, mode } = status;
    if (kind === 'file')
        return { type: 'file', path, mode, size, hash };
    if (kind === 'folder')
        return { type: 'folder', path, mode };
    return kind === 'link' ? { type: 'link', path, to: '' } : undefined;
}
/** A failure with what a person needs to know. */
function siteFailure(desk, what, hint, seen) {
    return new src_failure/* Failure */.HR((0,byte_string/* fromByteString */.q)(what), {
        host: desk.sftp.host,
        hint,
        ...(seen === undefined ? {} : { seen: (0,byte_string/* fromByteString */.q)(seen) }),
    });
}

// EXTERNAL MODULE: ./src/release/site-host.ts
var site_host = __webpack_require__(9425);
;// CONCATENATED MODULE: ./src/release/sftp-lease.ts





const BEAT_MS = 10_000;
/** A holder of whom nothing was heard for so long has gone. */
const EXPIRY_S = 60;
/** It stops well before that by itself: its clock may run slow, and a request takes its time. */
const HELD_MS = 40_000;
const RETRY_MS = 500;
class SftpLease {
    #sftp;
    #request;
    #context;
    #timer;
    #heldUntil;
    #isLost = false;
    constructor(sftp, request, context, heldUntil) {
        this.#sftp = sftp;
        this.#request = request;
        this.#context = context;
        this.#heldUntil = heldUntil;
        this.#timer = setInterval(() => void this.#beat(), BEAT_MS);
    }
    /** Takes the lease, waiting for it where asked; throws a `Failure` that names the holder where it stays taken. */
    static async take(sftp, request, context) {
        const { clock, signal } = context;
        const { state, mark, token, holder } = request;
        const fresh = `${state}/lease.new.${mark}`;
        const name = (0,byte_string/* toByteString */.p)(holder.replaceAll(/\s+/g, ' '));
        const giveUp = clock.monotonic() + request.waitMs;
        await sftp.mkdir(fresh, 0o700);
        await sftp.mkdir(`${fresh}/${mark}`, 0o700);
        await writeFile(sftp, `${fresh}/holder`, Buffer.from(`${mark}\n${token}\n${name}\n`, 'latin1'));
        try {
            for (let shown = false;;) {
                const sentAt = clock.monotonic();
                await writeFile(sftp, `${fresh}/${mark}/beat`, Buffer.from('.'));
                if (await movedTo(sftp, fresh, `${state}/lease`)) {
                    return new SftpLease(sftp, request, context, sentAt + HELD_MS);
                }
                const { mtime: now } = await sftp.lstat(`${fresh}/${mark}/beat`);
                const seen = await readHolder(sftp, state);
                if (await mayTake(sftp, request, seen, now)) {
                    if (await putAside(sftp, request, seen)) {
                        context.log.info(`took over the lock of ${(0,byte_string/* fromByteString */.q)(seen?.name ?? '') || 'a run that left no name'}`);
                    }
                    continue;
                }
                const text = (0,byte_string/* fromByteString */.q)(seen?.name ?? '');
                if (clock.monotonic() >= giveUp)
                    throw (0,site_host/* lockedFailure */.lT)(sftp.host, text, request.waitMs);
                if (!shown)
                    context.log.info(`waiting for the lock, held by ${text || 'another run'}`);
                shown = true;
                await clock.sleep(RETRY_MS, signal);
            }
        }
        catch (error) {
            await removeTree(sftp, fresh).catch(() => { });
            throw error;
        }
    }
    /** The holder's own folder. */
    get folder() {
        return `${this.#request.state}/lease/${this.#request.mark}`;
    }
    /** Throws where another may have the lease by now. To be called right before anything is changed. */
    assertHeld() {
        if (!this.#isLost && this.#context.clock.monotonic() < this.#heldUntil)
            return;
        throw new src_failure/* Failure */.HR('this run no longer holds the lock of the site', {
            host: this.#sftp.host,
            seen: `the server was not heard of for ${HELD_MS / 1000} s, or another run has taken over`,
            state: 'from then on this run has changed nothing; what it had begun is put right by the run that took over, or by the next one.',
            hint: 'run the job again',
        });
    }
    /** Gives the lease back. Whatever lies in its folder goes. */
    async release() {
        clearInterval(this.#timer);
        if (this.#isLost || this.#context.clock.monotonic() >= this.#heldUntil)
            return;
        this.#isLost = true;
        const { state, mark } = this.#request;
        const gone = `${state}/lease.gone.${mark}`;
        await this.#sftp.rename(`${state}/lease`, gone);
        await removeTree(this.#sftp, gone);
    }
    async #beat() {
        const sentAt = this.#context.clock.monotonic();
        try {
            await writeFile(this.#sftp, `${this.folder}/beat`, Buffer.from('.'));
            this.#heldUntil = Math.max(this.#heldUntil, sentAt + HELD_MS);
        }
        catch (error) {
            // The folder has gone: another has taken over. Anything else may pass.
            if (isMissing(error))
                this.#isLost = true;
        }
    }
}
/** Whether the lease was free: a folder does not replace one that holds something. */
async function movedTo(sftp, fresh, lease) {
    try {
        await sftp.rename(fresh, lease);
        return true;
    }
    catch (error) {
        if (error instanceof SftpError && (await ifThere(sftp.lstat(lease))) !== undefined)
            return false;
        // It may have gone in between.
        if (error instanceof SftpError && (await ifThere(sftp.lstat(fresh))) !== undefined) {
            await sftp.rename(fresh, lease);
            return true;
        }
        throw error;
    }
}
async function readHolder(sftp, state) {
    const text = await ifThere(readFile(sftp, `${state}/lease/holder`));
    const [mark = '', token = '', name = ''] = text?.toString('latin1').split('\n') ?? [];
    return /^[0-9a-f]+$/.test(mark) ? { mark, token, name } : undefined;
}
async function mayTake(sftp, { state, own }, seen, now) {
    if (seen !== undefined && own !== '' && seen.token === own)
        return true;
    const sign = seen === undefined ? `${state}/lease` : `${state}/lease/${seen.mark}/beat`;
    const beat = await ifThere(sftp.lstat(sign));
    return beat !== undefined && now - beat.mtime > EXPIRY_S;
}
/** Takes the lease away from the holder that was seen, and from no other; tells whether it did. */
async function putAside(sftp, { state, mark }, seen) {
    const aside = `${state}/lease.gone.${mark}`;
    if ((await ifThere(sftp.rename(`${state}/lease`, aside).then(() => true))) === undefined)
        return false;
    const moved = await ifThere(readFile(sftp, `${aside}/holder`));
    if ((moved?.toString('latin1').split('\n')[0] ?? '') === (seen?.mark ?? '')) {
        await removeTree(sftp, aside);
        return true;
    }
    // Somebody else was quicker: what was moved is theirs. Where it does not go back, they notice and stop.
    await sftp.rename(aside, `${state}/lease`).catch(() => removeTree(sftp, aside));
    return false;
}

// EXTERNAL MODULE: ./src/release/in-place.ts
var in_place = __webpack_require__(6119);
// EXTERNAL MODULE: ./src/release/progress.ts
var release_progress = __webpack_require__(1846);
;// CONCATENATED MODULE: ./src/release/sftp-tree.ts







/** Files that are on their way at once: each waits for its handle before anything of it is sent. */
const FILES_AT_ONCE = 64;
/** Less is left than a file with its folder may take. */
const FULL_BYTES = 256 * 1024;
const FULL_FILES = 2;
/**
 * What an earlier attempt brought whole: a file gets the time of its upload last of all, so one that has it, and its
 * size, has all its bytes. The list that came before the files says what those are.
 */
async function readArrived(desk, stage) {
    const list = `${stage}/manifest.gz`;
    const planned = await desk.manifest(list).catch(() => undefined);
    if (planned === undefined)
        return (0,release_manifest/* makeManifest */.Ui)();
    const { mtime } = await desk.sftp.lstat(list);
    const listed = await listTree(desk.sftp, `${stage}/tree`);
    return (0,release_manifest/* makeManifest */.Ui)([...planned.values()].filter((entry) => {
        const there = listed.get(entry.path);
        if (entry.type !== 'file' || there?.kind !== 'file')
            return false;
        return there.size === entry.size && there.mode === entry.mode && there.mtime === mtime;
    }));
}
/** Makes the tree of a staging folder: links what is there, sends the rest. Verified separately. */
async function buildTree(desk, plan, context) {
    const { sftp } = desk;
    const { stage, result, tree, mtime } = plan;
    const root = `${stage}/tree`;
    const arrived = (0,release_manifest/* makeManifest */.Ui)(sameFiles(plan.arrived, result));
    await clearTree(desk, root, arrived);
    // They are to be known again should this attempt break off too.
    await inParallel(arrived.keys(), (path) => sftp.setstat(`${root}/${path}`, { mtime }), 256);
    await writeFile(sftp, `${stage}/manifest.gz`, (0,release_manifest/* encodeManifest */.Gb)(result), { mtime, before: desk.guard });
    const folders = [...result.ofType('folder')];
    await inLevels(folders.map(({ path }) => path), async (path) => {
        desk.guard();
        await makeFolder(sftp, `${root}/${path}`, 0o700);
    }, 'top first');
    const { left, bytes, linked, copied } = await takeFromBase(desk, plan, arrived, context);
    const sent = await sendFiles(desk, { root, paths: left, bytes, result, tree, mtime }, context);
    await inParallel(result.ofType('link'), (entry) => makeLink(desk, `${root}/${entry.path}`, entry.to), 256);
    await inLevels(folders.map(({ path }) => path), (path) => sftp.setstat(`${root}/${path}`, { mode: result.get(path).mode }), 'deepest first');
    return { bytesOnWire: sent, filesSent: left.length, linked, copied };
}
function* sameFiles(arrived, result) {
    for (const entry of arrived.ofType('file'))
        if (isSameFile(result.get(entry.path), entry))
            yield entry;
}
function isSameFile(a, b) {
    return (a?.type === 'file' && b.type === 'file' && a.hash === b.hash && a.size === b.size && a.mode === b.mode);
}
/** Removes what is not known to be whole. */
async function clearTree(desk, root, keep) {
    const listed = [...(await listTree(desk.sftp, root))];
    const needed = new Set([...keep.keys()].flatMap(foldersOf));
    const gone = listed.filter(([path, { kind }]) => kind !== 'folder' && !keep.has(path));
    await inParallel(gone, ([path]) => {
        desk.guard();
        return desk.sftp.remove(`${root}/${path}`);
    }, 256);
    const folders = listed.filter(([path, { kind }]) => kind === 'folder' && !needed.has(path));
    await inLevels(folders.map(([path]) => path), (path) => {
        desk.guard();
        return desk.sftp.rmdir(`${root}/${path}`);
    }, 'deepest first');
}
/** `a/b/c` -> `a`, `a/b` */
function foldersOf(path) {
    const parts = path.split('/');
    return parts.slice(1).map((_, at) => parts.slice(0, at + 1).join('/'));
}
/** Second names for what the release before has too. */
async function takeFromBase(desk, { stage, base, mtime, tree, result }, arrived, { signal }) {
    const { sftp } = desk;
    const left = [];
    let bytes = 0;
    const leave = ({ path, size }) => {
        left.push(path);
        bytes += size;
    };
    let linked = 0;
    let copied = 0;
    const atHand = sftp.extensions.has('hardlink@openssh.com') || sftp.extensions.has('copy-data');
    await inParallel(result.ofType('file'), async (entry) => {
        if (arrived.has(entry.path))
            return;
        const isOurs = tree.manifest.has(entry.path);
        if (base === undefined || !isSameFile(base.manifest.get(entry.path), entry) || (!atHand && isOurs)) {
            leave(entry);
            return;
        }
        signal.throwIfAborted();
        desk.guard();
        const from = `${base.folder}/${entry.path}`;
        try {
            const how = await linkOrCopy(sftp, from, `${stage}/tree/${entry.path}`, { mode: entry.mode, mtime });
            if (how === 'linked')
                linked++;
            else
                copied++;
        }
        catch (error) {
            // Removed by hand since: it travels again.
            if (!isMissing(error) || !isOurs)
                throw error;
            leave(entry);
        }
    }, 256);
    if (copied > 0)
        desk.log.info('the server makes no hard links through SFTP: unchanged files were copied');
    if (!atHand && base !== undefined) {
        desk.log.info('the server neither links nor copies files through SFTP: unchanged ones are sent again');
    }
    return { left, bytes, linked, copied };
}
async function sendFiles(desk, { root, paths, bytes, result, tree, mtime }, context) {
    const { signal } = context;
    const progress = (0,release_progress/* trackProgress */.Z)({ files: paths.length, bytes }, context);
    async function* counted(entry) {
        for (const piece of tree.read(entry)) {
            // Counted bit by bit: on a slow link many large pieces are on their way for long.
            for (let from = 0; from < piece.length; from += SFTP_CHUNK) {
                signal.throwIfAborted();
                const part = piece.subarray(from, from + SFTP_CHUNK);
                yield part;
                progress.sent(part.length);
                progress.onWire(part.length);
            }
        }
    }
    try {
        await inParallel(paths, async (path) => {
            const entry = result.get(path);
            signal.throwIfAborted();
            const to = { mode: entry.mode, mtime, before: desk.guard };
            await writeFile(desk.sftp, `${root}/${path}`, counted(entry), to);
            progress.fileSent();
        }, FILES_AT_ONCE);
        return progress.bytesOnWire;
    }
    catch (error) {
        throw await explained(desk, error);
    }
    finally {
        progress.end();
    }
}
/** The protocol has no answer of its own for a full disk, which is what a failed write most often means. */
async function explained(desk, error) {
    if (!(error instanceof SftpError))
        return error;
    const free = await desk.sftp.freeSpace(desk.state).catch(() => undefined);
    if (free === undefined || (free.bytes >= FULL_BYTES && free.files >= FULL_FILES))
        return error;
    return new src_failure/* Failure */.HR('there is no space left on the server', {
        host: desk.sftp.host,
        seen: `${error.message}: ${error.details.seen}; ${free.bytes} bytes and ${free.files} files free`,
        hint: 'free some space there, or keep fewer releases (`keep-releases`)',
        cause: error,
    });
}
/** Not every server takes the two paths in the same order: what came of it is read. */
async function makeLink(desk, path, to) {
    desk.guard();
    await desk.sftp.symlink(to, path);
    const read = await desk.sftp.readlink(path);
    if (read === to)
        return;
    throw new src_failure/* Failure */.HR(`the server made a symbolic link to '${(0,byte_string/* fromByteString */.q)(read)}' instead`, {
        host: desk.sftp.host,
        seen: `asked for: ${(0,byte_string/* fromByteString */.q)(path)} -> ${(0,byte_string/* fromByteString */.q)(to)}`,
        hint: 'use a server that follows OpenSSH in this, or a login with a shell',
    });
}
/** Throws unless exactly what the manifest says lies there, by kinds and sizes. */
async function checkTree(desk, root, result) {
    const listed = await listTree(desk.sftp, root);
    const path = firstWrong(result, listed);
    if (path === undefined)
        return;
    const there = listed.get(path);
    const is = there === undefined ? 'is missing' : `is a ${there.kind} of ${there.size} bytes`;
    throw new src_failure/* Failure */.HR('what arrived is not what was sent', {
        host: desk.sftp.host,
        seen: `'${(0,byte_string/* fromByteString */.q)(path)}' ${is}`,
        hint: 'run the job again; nothing was activated',
    });
}
function firstWrong(result, listed) {
    for (const entry of result.unhashed())
        if (!fits(entry, listed.get(entry.path)))
            return entry.path;
    for (const path of listed.keys())
        if (!result.has(path))
            return path;
    return undefined;
}
function fits(entry, there) {
    return there?.kind === entry.type && (entry.type !== 'file' || there.size === entry.size);
}
/** Reads the files back and throws where one is not what was sent. */
async function checkContents(desk, root, files) {
    await inParallel(files, async ({ path, hash }) => {
        if ((await desk.hash(`${root}/${path}`)) === hash)
            return;
        throw new src_failure/* Failure */.HR('the content that arrived is not the content that was sent', {
            host: desk.sftp.host,
            seen: (0,byte_string/* fromByteString */.q)(path),
            hint: 'run the job again; nothing was activated',
        });
    });
}

;// CONCATENATED MODULE: ./src/release/sftp-place-steps.ts




/** Does through SFTP what the functions of in-place-code.ts do in a shell; never through a link that leaves the site. */
class PlaceRunner {
    #desk;
    /** Folders of the site that were seen to lie in it. */
    #inside = new Map();
    #realRoot;
    /** Folders in `back`. */
    #made = new Map();
    constructor(desk) {
        this.#desk = desk;
    }
    /** What lies in `back`. */
    async saved() {
        const back = `${this.#desk.state}/back`;
        if ((await ifThere(this.#desk.sftp.lstat(back))) === undefined)
            return new Map();
        return listTree(this.#desk.sftp, back);
    }
    /** Steps of one kind that follow each other are sent together, folders level by level. */
    async run(steps) {
        for (let at = 0; at < steps.length;) {
            const { op } = steps[at];
            const end = steps.findIndex((step, index) => index > at && step.op !== op);
            const some = steps.slice(at, end < 0 ? undefined : end);
            at += some.length;
            const saved = op === 'gone' || op === 'restore' ? await this.saved() : new Map();
            if (op === 'folder' || op === 'no_folder') {
                const byPath = new Map(some.map((step) => [pathOf(step.folder, nameOf(step)), step]));
                const order = op === 'folder' ? 'top first' : 'deepest first';
                await inLevels([...byPath.keys()], (path) => this.#folder(byPath.get(path)), order);
                continue;
            }
            await inParallel(names(some), (one) => this.#file(op, one, saved), 256);
        }
    }
    async #folder(step) {
        const { sftp, root } = this.#desk;
        const name = nameOf(step);
        const path = `${root}/${pathOf(step.folder, name)}`;
        const isKnown = await this.#enter(step.folder);
        if (step.op === 'no_folder') {
            if (!isKnown || (await ifThere(sftp.lstat(path)))?.kind !== 'folder')
                return;
            this.#desk.guard();
            // It stays as long as something is left in it.
            await sftp.rmdir(path).catch((error) => {
                if (!(error instanceof SftpError))
                    throw error;
            });
            return;
        }
        if (step.op !== 'folder')
            return;
        if ((await ifThere(sftp.lstat(path)))?.kind === 'link') {
            const what = `'${pathOf(step.folder, name)}' is a symbolic link there, where the site has a folder`;
            throw siteFailure(this.#desk, what, 'move it away, or take that folder out of the upload');
        }
        this.#desk.guard();
        await makeFolder(sftp, path, step.mode);
        await sftp.setstat(path, { mode: step.mode });
    }
    async #file(op, [folder, name], saved) {
        const { sftp, root, state } = this.#desk;
        const path = pathOf(folder, name);
        const place = `${root}/${path}`;
        const back = `${state}/back/${path}`;
        const kind = saved.get(path)?.kind;
        const isSaved = kind === 'file' || kind === 'link';
        if (op === 'restore' && !isSaved)
            return;
        if (!(await this.#enter(folder))) {
            if (op === 'put')
                throw siteFailure(this.#desk, `'${folder}' cannot be entered`, 'look at it there');
            return;
        }
        switch (op) {
            case 'keep':
                return this.#keep(place, back);
            case 'put':
                return this.#put(`${state}/next/tree/${path}`, place);
            case 'restore':
                await this.#desk.rename(back, place);
                // Of two names of one file, rename(2) leaves both: what was to replace it had not come yet.
                await ifThere(sftp.remove(back));
                return;
            case 'gone':
                if (isSaved || (await ifThere(sftp.lstat(place)))?.kind === 'folder')
                    return;
                break;
            default:
                if ((await ifThere(sftp.lstat(place)))?.kind !== 'folder')
                    break;
                throw siteFailure(this.#desk, `'${path}' is a folder there, where the site had a file`, 'look at it there');
        }
        // Not removed: what is sent for a run that is gone by then must not take away what was put back meanwhile.
        await this.#desk.retire(place);
    }
    async #keep(place, back) {
        const { sftp } = this.#desk;
        const there = await ifThere(sftp.lstat(place));
        if (there?.kind !== 'file' && there?.kind !== 'link')
            return;
        const folder = back.slice(0, back.lastIndexOf('/'));
        const made = this.#made.get(folder) ?? makeFolders(sftp, folder, 0o700);
        this.#made.set(folder, made);
        await made;
        await ifThere(sftp.remove(back));
        this.#desk.guard();
        if (there.kind === 'link')
            await makeLink(this.#desk, back, await sftp.readlink(place));
        else
            await linkOrCopy(sftp, place, back, there);
    }
    async #put(from, place) {
        try {
            await this.#desk.rename(from, place);
        }
        catch (error) {
            if (!(error instanceof SftpError) || isMissing(error))
                throw error;
            if ((await ifThere(this.#desk.sftp.lstat(place)))?.kind !== 'folder')
                throw error;
            const what = `'${place}' is a folder there, where the site has a file`;
            throw siteFailure(this.#desk, what, 'move it away, or take that file out of the upload');
        }
    }
    /** False where there is no such folder; throws where a link has put it outside of the site. */
    async #enter(folder) {
        if (folder === '')
            return true;
        const seen = this.#inside.get(folder) ?? this.#isInside(folder);
        this.#inside.set(folder, seen);
        const isThere = await seen;
        if (!isThere)
            this.#inside.delete(folder);
        return isThere;
    }
    async #isInside(folder) {
        const { sftp, root } = this.#desk;
        // Servers resolve the last part of a path even where nothing is there.
        if ((await ifThere(sftp.stat(`${root}/${folder}`)))?.kind !== 'folder')
            return false;
        // Not before: where this look fails, nobody would wait for it.
        this.#realRoot ??= sftp.realpath(root);
        const [real, top] = await Promise.all([sftp.realpath(`${root}/${folder}`), this.#realRoot]);
        if (real.startsWith(top === '/' ? '/' : `${top}/`))
            return true;
        const what = `'${folder}' leads out of the folder of the site`;
        throw siteFailure(this.#desk, what, 'look at that symbolic link on the server', real);
    }
}
const pathOf = (folder, name) => (folder === '' ? name : `${folder}/${name}`);
const nameOf = (step) => ('name' in step ? step.name : '');
function* names(steps) {
    for (const step of steps) {
        if ('names' in step)
            for (const name of step.names)
                yield [step.folder, name];
    }
}

// EXTERNAL MODULE: ./src/release/site-state.ts
var site_state = __webpack_require__(1490);
;// CONCATENATED MODULE: ./src/release/sftp-place.ts







/**
 * Files straight in the served folder through SFTP, on the server as in-place-code.ts has them; `next` holds
 * `undo.json` as well, and `confirmed` is there while the list of what lies there gives way to the new one.
 */
class SftpPlace {
    current = '';
    #desk;
    #runner;
    #look = 'stored';
    #stage = '';
    #arrived = (0,release_manifest/* makeManifest */.Ui)();
    #steps;
    #sent;
    constructor(desk) {
        this.#desk = desk;
        this.#runner = new PlaceRunner(desk);
    }
    async describe() {
        const { state, lease } = this.#desk;
        if (lease !== undefined)
            await this.#finishConfirm();
        const placed = await this.#desk.firstLine(`${state}/site/release`);
        this.current = placed === '' ? '' : `releases/${placed}`;
        const content = await this.#desk.firstLine(`${state}/site/content`);
        const pending = await this.#desk.firstLine(`${state}/pending`);
        return {
            current: this.current,
            releases: placed === '' ? [] : [{ id: placed, content, state: 'good', before: undefined }],
            pending: pending === '' ? undefined : { release: pending, returnTo: this.current },
        };
    }
    async claim(release, look) {
        const { state, lease, root, sftp } = this.#desk;
        this.#look = look;
        if ((0,site_state/* releaseOf */.l7)(this.current) === release)
            return undefined;
        if (lease !== undefined) {
            // What a dead run left half in place would be taken for the site.
            await this.goBack();
            if ((await this.#desk.firstLine(`${state}/next/release`)) === release) {
                await this.#desk.rename(`${state}/next`, `${state}/staging/${release}+next`);
            }
            const { stage, isOld } = await this.#desk.takeStage(release);
            this.#stage = stage;
            if (isOld)
                this.#arrived = await readArrived(this.#desk, stage);
        }
        const ours = (await this.#desk.manifest(`${state}/site/manifest.gz`)) ?? (0,release_manifest/* makeManifest */.Ui)();
        const isThere = look !== 'stored' && (await ifThere(sftp.stat(root))) !== undefined;
        const manifest = isThere ? await this.#survey(ours) : ours;
        return { kind: 'place', manifest, ours };
    }
    /** What lies in the target; where not everything is to be read, a file of ours of the same size counts as unchanged. */
    async #survey(ours) {
        const { sftp, root } = this.#desk;
        const listed = await listTree(sftp, root, (path) => path === '.evenkeel');
        if (this.#look === 'hashed')
            return (0,site_state/* keptAsStored */.Kh)(await this.#desk.hashed(root, listed), ours);
        const found = [...listed].flatMap(([path, status]) => toEntry(path, status, (0,site_state/* storedHash */.iv)(ours, path, status.size)) ?? []);
        return (0,site_state/* keptAsStored */.Kh)((0,release_manifest/* makeManifest */.Ui)(found), ours);
    }
    async send({ comparison, opened, tree, mtime }, context) {
        const result = (0,release_manifest/* makeManifest */.Ui)(withParents(comparison.send));
        this.#steps = (0,in_place/* planPlace */.Jo)(comparison, opened.base?.manifest ?? (0,release_manifest/* makeManifest */.Ui)());
        this.#sent = result;
        const plan = { stage: this.#stage, result, arrived: this.#arrived, base: undefined, tree, mtime };
        return buildTree(this.#desk, plan, context);
    }
    async publish({ release, site, comparison, mtime }) {
        const desk = this.#desk;
        const { sftp, state } = desk;
        const stage = this.#stage;
        if (this.#sent === undefined || this.#steps === undefined)
            throw new TypeError('nothing was sent');
        await checkTree(desk, `${stage}/tree`, this.#sent);
        if (this.#look === 'hashed')
            await checkContents(desk, `${stage}/tree`, this.#sent.ofType('file'));
        const { gone, restore } = this.#steps;
        const undo = { gone, restore };
        const files = {
            ...(0,in_place/* placeScripts */.or)(this.#steps),
            release: Buffer.from(`${release}\n`),
            content: Buffer.from(`${(0,release_manifest/* contentId */.fm)(site)}\n`),
            owner: Buffer.from('\n'),
            'undo.json': Buffer.from(JSON.stringify(undo)),
        };
        desk.guard();
        await Promise.all(Object.entries(files).map(([name, text]) => writeFile(sftp, `${stage}/${name}`, text)));
        // With the time of its files, see `readArrived`.
        await writeFile(sftp, `${stage}/manifest.gz`, (0,release_manifest/* encodeManifest */.Gb)(comparison.result), { mtime });
        await desk.retire(`${state}/next`);
        await desk.retire(`${state}/back`);
        await desk.rename(stage, `${state}/next`);
    }
    async discard() {
        const { state } = this.#desk;
        await this.#desk.retire(this.#stage);
        if ((await this.#desk.firstLine(`${state}/pending`)) !== '')
            return;
        // What arrived whole, and is not being put in place.
        for (const name of ['next', 'back'])
            await this.#desk.retire(`${state}/${name}`);
    }
    async activate(release) {
        const desk = this.#desk;
        const { sftp, state } = desk;
        if (this.#steps === undefined) {
            // Confirmed there by an earlier run, while another host had yet to follow.
            if (this.current === `releases/${release}`)
                return;
            throw siteFailure(desk, `release ${release} is not there`, 'run the job again');
        }
        desk.guard();
        await makeFolder(sftp, `${state}/back`, 0o700);
        await this.#runner.run(this.#steps.keep);
        await desk.retire(`${state}/undoing`);
        await desk.commit(`${state}/pending`, `${release}\n`);
        for (const part of this.#steps.put)
            await this.#runner.run(part);
        this.current = `releases/${release}`;
    }
    async goBack() {
        const desk = this.#desk;
        const { sftp, state } = desk;
        if ((await ifThere(sftp.lstat(`${state}/pending`))) !== undefined) {
            const [json = ''] = await desk.lines(`${state}/next/undo.json`);
            if (json === '') {
                throw siteFailure(desk, 'a run that used a shell died here while it put its files in place', 'run once with a login that has a shell: it takes that back');
            }
            const undo = JSON.parse(json);
            if ((await ifThere(sftp.lstat(`${state}/undoing`))) === undefined) {
                await this.#runner.run(undo.gone);
                await desk.commit(`${state}/undoing`, '');
            }
            await this.#runner.run(undo.restore);
            const left = [...(await this.#runner.saved())].find(([, { kind }]) => kind !== 'folder');
            if (left !== undefined) {
                throw siteFailure(desk, 'not everything could be put back in its place', 'run the job again', left[0]);
            }
            // In this order: what is undone by halves is never undone a second time from its beginning.
            for (const name of ['pending', 'undoing', 'next', 'back'])
                await desk.retire(`${state}/${name}`);
        }
        const placed = await desk.firstLine(`${state}/site/release`);
        this.current = placed === '' ? '' : `releases/${placed}`;
    }
    async confirm() {
        const desk = this.#desk;
        const { sftp, state } = desk;
        if ((await ifThere(sftp.lstat(`${state}/pending`))) === undefined)
            return;
        await desk.retire(`${state}/site.new`);
        desk.guard();
        await sftp.mkdir(`${state}/site.new`, 0o700);
        for (const part of ['manifest.gz', 'content', 'release']) {
            const from = `${state}/next/${part}`;
            await linkOrCopy(sftp, from, `${state}/site.new/${part}`, await sftp.lstat(from));
        }
        // From here on it stands.
        await desk.rename(`${state}/pending`, `${state}/confirmed`);
        await this.#finishConfirm();
    }
    async #finishConfirm() {
        const desk = this.#desk;
        const { sftp, state } = desk;
        if ((await ifThere(sftp.lstat(`${state}/confirmed`))) === undefined)
            return;
        if ((await ifThere(sftp.lstat(`${state}/site.new`))) !== undefined) {
            await desk.retire(`${state}/site`);
            await desk.rename(`${state}/site.new`, `${state}/site`);
        }
        for (const name of ['next', 'back', 'confirmed'])
            await desk.retire(`${state}/${name}`);
    }
    async prune() {
        for (const name of ['next', 'back'])
            await this.#desk.retire(`${this.#desk.state}/${name}`);
        await this.#desk.sweep();
    }
}
/** With the folders that what is sent lies in, which count for less than those that are sent. */
function* withParents(send) {
    const parents = new Set();
    for (const { path } of send.unhashed())
        for (const folder of foldersOf(path))
            parents.add(folder);
    for (const path of parents)
        yield { type: 'folder', path, mode: 0o755 };
    yield* send.values();
}

;// CONCATENATED MODULE: ./src/release/sftp-assets.ts





/**
 * What `keep-assets` picked of the release that goes stays reachable in an older one that comes back, as assets-code.ts
 * does it. What cannot be kept is said in the log: it is no reason not to go back.
 */
async function keepReachable(desk, from, to) {
    if (from === undefined || to === undefined || from === to)
        return;
    const { root, state, sftp, log } = desk;
    const source = `${root}/releases/${from}`;
    const target = `${root}/releases/${to}`;
    try {
        const missing = [];
        await inParallel(await readAssets(desk, from), async (path) => {
            if (!(0,release_manifest/* isInsidePath */.kq)(path) || (await ifThere(sftp.lstat(`${target}/${path}`))) !== undefined)
                return;
            const status = await ifThere(sftp.lstat(`${source}/${path}`));
            if (status?.kind === 'file')
                missing.push({ path, status });
        });
        if (missing.length === 0)
            return;
        // One that goes in its turn hands them on.
        const all = [...(await readAssets(desk, to)), ...missing.map(({ path }) => path)];
        await desk.commit(`${state}/meta/${to}/assets`, all.map((path) => `./${path}\0`).join(''));
        await desk.commit(`${state}/meta/${to}/altered`, '');
        await inParallel(missing, async ({ path, status }) => {
            if (!(await makeWay(desk, target, path)))
                return;
            desk.guard();
            await linkOrCopy(sftp, `${source}/${path}`, `${target}/${path}`, status);
        });
    }
    catch (error) {
        if (!(error instanceof SftpError))
            throw error;
        log.warn(`not all assets that \`keep-assets\` picks could be kept reachable: ${error.message}`);
    }
}
/** What `keep-assets` picked of a release, and of those that were gone back from to it. */
async function readAssets({ sftp, state }, release) {
    const list = await ifThere(readFile(sftp, `${state}/meta/${release}/assets`));
    return new Set(list === undefined ? [] : (0,site_state/* pathsIn */.Mr)(list));
}
/** Makes the folders above a path; false where a link is among them, which may lead anywhere. */
async function makeWay(desk, target, path) {
    for (const folder of foldersOf(path)) {
        const there = await ifThere(desk.sftp.lstat(`${target}/${folder}`));
        if (there === undefined) {
            desk.guard();
            await makeFolder(desk.sftp, `${target}/${folder}`, 0o755);
        }
        else if (there.kind !== 'folder')
            return false;
    }
    return true;
}

// EXTERNAL MODULE: ./src/release/transfer-lists.ts
var transfer_lists = __webpack_require__(7042);
;// CONCATENATED MODULE: ./src/release/sftp-releases.ts







/** Releases and a link through SFTP, on the server as releases-code.ts has them. */
class SftpReleases {
    current = '';
    #desk;
    #state = { releases: [], pending: undefined };
    #newest = 0;
    #look = 'stored';
    #stage = '';
    #base;
    #arrived = (0,release_manifest/* makeManifest */.Ui)();
    constructor(desk) {
        this.#desk = desk;
    }
    async describe() {
        const { sftp, root, state } = this.#desk;
        const link = await ifThere(sftp.lstat(`${root}/current`));
        if (link !== undefined && link.kind !== 'link') {
            throw siteFailure(this.#desk, `'current' in ${root} is not a symbolic link`, 'move it away: the action makes it a link to the release that is served');
        }
        this.current = link === undefined ? '' : await sftp.readlink(`${root}/current`);
        const [pending, returnTo = ''] = await this.#desk.lines(`${state}/pending`);
        this.#state = {
            pending: pending === undefined ? undefined : { release: pending, returnTo },
            releases: await this.#releases(),
        };
        return { current: this.current, ...this.#state };
    }
    /** Newest first. */
    async #releases() {
        const { sftp, root, state } = this.#desk;
        const metas = (await ifThere(sftp.readdir(`${state}/meta`))) ?? [];
        const found = await Promise.all(metas.map(async ({ name: id }) => {
            const meta = `${state}/meta/${id}`;
            const [marks, folder, content, before] = await Promise.all([
                ifThere(sftp.readdir(meta)),
                ifThere(sftp.lstat(`${root}/releases/${id}`)),
                this.#desk.firstLine(`${meta}/content`),
                this.#desk.firstLine(`${meta}/before`),
            ]);
            const has = (name) => marks?.some((mark) => mark.name === name);
            const noted = marks?.find(({ name }) => name === 'content');
            if (noted === undefined || folder?.kind !== 'folder')
                return [];
            const mark = has('good') ? 'good' : has('failed') ? 'failed' : 'new';
            return [{ at: noted.mtime, id, content, state: mark, before: before || undefined }];
        }));
        const sorted = found.flat().sort((a, b) => b.at - a.at);
        this.#newest = sorted[0]?.at ?? 0;
        return sorted.map(({ at: _, ...info }) => info);
    }
    async claim(release, look) {
        const { sftp, root, state, lease } = this.#desk;
        this.#look = look;
        if (this.#state.releases.some(({ id }) => id === release))
            return undefined;
        if ((await ifThere(sftp.lstat(`${root}/releases/${release}`))) !== undefined) {
            throw siteFailure(this.#desk, `releases/${release} is there, but not from an upload of this action`, 'choose another `release`, or move that folder away');
        }
        if (lease !== undefined) {
            const { stage, isOld } = await this.#desk.takeStage(release);
            this.#stage = stage;
            if (isOld)
                this.#arrived = await readArrived(this.#desk, stage);
        }
        const id = (0,site_state/* releaseOf */.l7)(this.current) ?? this.#state.releases[0]?.id;
        const stored = id === undefined ? undefined : await this.#desk.manifest(`${state}/meta/${id}/manifest.gz`);
        let assets = new Set();
        if (id !== undefined && stored !== undefined) {
            const folder = `${root}/releases/${id}`;
            const isAltered = (await ifThere(sftp.lstat(`${state}/meta/${id}/altered`))) !== undefined;
            if (isAltered)
                assets = await readAssets(this.#desk, id);
            const manifest = look === 'hashed' || isAltered ? await this.#rehashed(folder, stored) : stored;
            this.#base = { folder, manifest };
        }
        const arrived = this.#arrived;
        const before = this.#base?.manifest ?? (0,release_manifest/* makeManifest */.Ui)();
        const manifest = arrived.size === 0 ? before : (0,release_manifest/* makeManifest */.Ui)(withArrived(before, arrived));
        const kind = arrived.size > 0 ? 'staging' : this.#base === undefined ? 'none' : 'release';
        return { kind, manifest, ours: stored ?? (0,release_manifest/* makeManifest */.Ui)(), assets };
    }
    /** A release by what its files hold now; what the stored list says of being kept stays. */
    async #rehashed(folder, stored) {
        const listed = await listTree(this.#desk.sftp, folder);
        const hashed = await this.#desk.hashed(folder, listed);
        return (0,site_state/* keptAsStored */.Kh)(hashed, stored);
    }
    send({ comparison, tree, mtime }, context) {
        const { result } = comparison;
        const plan = { stage: this.#stage, result, arrived: this.#arrived, base: this.#base, tree, mtime };
        return buildTree(this.#desk, plan, context);
    }
    async publish({ release, site, tree, linked, comparison, keepAssets }) {
        const desk = this.#desk;
        const { sftp, root, state } = desk;
        const stage = this.#stage;
        const { result, send } = comparison;
        await checkTree(desk, `${stage}/tree`, result);
        if (this.#look === 'hashed')
            await checkContents(desk, `${stage}/tree`, send.ofType('file'));
        await desk.makeShared(linked);
        desk.guard();
        await sftp.setstat(`${stage}/tree`, { mode: tree.rootMode });
        await sftp.mkdir(`${stage}/meta`, 0o755);
        await writeFile(sftp, `${stage}/meta/manifest.gz`, (0,release_manifest/* encodeManifest */.Gb)(result));
        if (keepAssets !== undefined) {
            const list = (0,transfer_lists/* assetList */.ln)('assets', result, keepAssets);
            await writeFile(sftp, `${stage}/meta/${list.name}`, Buffer.concat([...list.pieces()]));
        }
        // The order of the releases is that of these times, which count whole seconds here.
        const noted = `${stage}/meta/content`;
        await writeFile(sftp, noted, Buffer.from(`${(0,release_manifest/* contentId */.fm)(site)}\n`));
        const { mtime } = await sftp.lstat(noted);
        if (mtime <= this.#newest)
            await sftp.setstat(noted, { mtime: this.#newest + 1 });
        await desk.retire(`${state}/meta/${release}`);
        await desk.rename(`${stage}/meta`, `${state}/meta/${release}`);
        await desk.rename(`${stage}/tree`, `${root}/releases/${release}`);
        await desk.retire(stage);
    }
    async discard() {
        await this.#desk.retire(this.#stage);
    }
    async activate(release, noteBefore) {
        const { root, state, sftp } = this.#desk;
        if ((await ifThere(sftp.lstat(`${root}/releases/${release}`))) === undefined) {
            throw siteFailure(this.#desk, `releases/${release} is not there`, 'run the job again');
        }
        const now = await this.#linkNow();
        const [pending, returnTo = ''] = await this.#desk.lines(`${state}/pending`);
        const was = pending === undefined ? now : returnTo;
        await this.#desk.commit(`${state}/pending`, `${release}\n${was}\n`);
        const before = (0,site_state/* releaseOf */.l7)(was);
        if (noteBefore && before !== undefined && before !== release) {
            await this.#desk.commit(`${state}/meta/${release}/before`, `${before}\n`);
        }
        if (now !== `releases/${release}`) {
            if (!noteBefore)
                await keepReachable(this.#desk, (0,site_state/* releaseOf */.l7)(now), release);
            await this.#point(`releases/${release}`);
        }
        this.current = await this.#linkNow();
    }
    async goBack() {
        const { root, state, sftp } = this.#desk;
        const [failed, was = ''] = await this.#desk.lines(`${state}/pending`);
        if (failed !== undefined) {
            if ((await this.#linkNow()) === `releases/${failed}` && was !== `releases/${failed}`) {
                if (was === '')
                    await this.#desk.retire(`${root}/current`);
                else {
                    await keepReachable(this.#desk, failed, (0,site_state/* releaseOf */.l7)(was));
                    await this.#point(was);
                }
            }
            const marks = await ifThere(sftp.readdir(`${state}/meta/${failed}`));
            if (marks !== undefined && !marks.some(({ name }) => name === 'good')) {
                await this.#desk.commit(`${state}/meta/${failed}/failed`, '');
            }
            await this.#desk.retire(`${state}/pending`);
        }
        this.current = await this.#linkNow();
    }
    async confirm(release) {
        const { state } = this.#desk;
        await this.#desk.commit(`${state}/meta/${release}/good`, '');
        await this.#desk.retire(`${state}/meta/${release}/failed`);
        await this.#desk.retire(`${state}/pending`);
    }
    async prune(keep) {
        const { root, state, sftp } = this.#desk;
        for (const id of outdated(await this.#releases(), (0,site_state/* releaseOf */.l7)(await this.#linkNow()), keep)) {
            await this.#desk.retire(`${root}/releases/${id}`);
            await this.#desk.retire(`${state}/meta/${id}`);
        }
        for (const { name } of await sftp.readdir(root)) {
            if (name.startsWith('.evenkeel-current.'))
                await this.#desk.retire(`${root}/${name}`);
        }
        await this.#desk.sweep();
    }
    async #linkNow() {
        const { sftp, root } = this.#desk;
        return (await ifThere(sftp.readlink(`${root}/current`))) ?? '';
    }
    /** Swaps the link by one rename, which fails once another run holds the lock. */
    async #point(to) {
        const fresh = this.#desk.scratch('current');
        await makeLink(this.#desk, fresh, to);
        await this.#desk.rename(fresh, `${this.#desk.root}/current`);
    }
}
/**
 * Releases that go, of those given newest first: failed ones, and good ones beyond `keep`; never the served one nor
 * the one that it replaced. Pure.
 */
function outdated(releases, served, keep) {
    const before = releases.find(({ id }) => id === served)?.before;
    const isNeeded = (id) => id === served || id === before;
    const failed = releases.filter(({ state }) => state === 'failed');
    const others = releases.filter(({ state }) => state !== 'failed');
    return [...failed, ...others.slice(keep)].map(({ id }) => id).filter((id) => !isNeeded(id));
}
function* withArrived(before, arrived) {
    for (const entry of before.values())
        if (!isBelowFile(entry.path, arrived))
            yield entry;
    yield* arrived.values();
}
/** Whether something that has arrived as a file stands where a path leads through. */
function isBelowFile(path, arrived) {
    if (arrived.size === 0)
        return false;
    const parts = path.split('/');
    return parts.some((_, at) => at > 0 && arrived.has(parts.slice(0, at).join('/')));
}

;// CONCATENATED MODULE: ./src/release/sftp-site.ts













const RENAME = 'posix-rename@openssh.com';
const CLOSE_MS = 5_000;
/** As remote-code.ts has it. */
const SHELL_EXPIRY_S = 120;
const sftp_site_RETRY_MS = 500;
/** A site on a server that gives this login SFTP and no commands. The lock is a lease, see sftp-lease.ts. */
class SftpSite {
    connection;
    settings;
    hasShell = false;
    #desk;
    #work;
    #look = 'stored';
    constructor(connection, sftp, settings, log) {
        this.connection = connection;
        this.settings = settings;
        const root = (0,byte_string/* toByteString */.p)(settings.target);
        const state = settings.mode === 'atomic' ? `${root}/releases/.evenkeel` : `${root}/.evenkeel`;
        const mark = (0,external_node_crypto_.randomBytes)(12).toString('hex');
        this.#desk = new SftpDesk(sftp, root, state, mark, (0,context/* prefixedLog */.Qc)(log, connection.name));
        this.#work = settings.mode === 'atomic' ? new SftpReleases(this.#desk) : new SftpPlace(this.#desk);
    }
    /** Throws a `Failure` where there is no SFTP, or where it or this step's inputs cannot do without a shell. */
    static async open(connection, settings, context) {
        const { needsShell } = settings;
        const seen = 'this login runs no commands, it may only use SFTP';
        const refuse = (what, hint) => {
            throw new src_failure/* Failure */.HR(what, { host: connection.name, seen, state: 'nothing was changed there.', hint });
        };
        if (needsShell.length > 0) {
            const list = needsShell.map((name) => `\`${name}\``).join(', ');
            refuse(`${list} cannot be had without a shell on the server`, `leave ${needsShell.length === 1 ? 'it' : 'them'} out, or give the deploy user a shell`);
        }
        // Each request leaves some garbage, which by default may grow to several times of what is in use.
        (0,external_node_v8_.setFlagsFromString)('--heap-growing-percent=20');
        const sftp = await Sftp.open(connection);
        if (!sftp.extensions.has(RENAME)) {
            refuse(`the SFTP server does not offer ${RENAME}`, 'without it nothing can be replaced by one rename: use OpenSSH there, or give the deploy user a shell');
        }
        const how = sftp.extensions.has('hardlink@openssh.com') ? 'hard links' : 'copies';
        context.log.info(`${connection.name}: ${seen}: working through SFTP (${how} for unchanged files; sizes are checked, contents are not read back unless \`verify\` is full)`);
        return new SftpSite(connection, sftp, settings, context.log);
    }
    get name() {
        return this.connection.name;
    }
    get mode() {
        return this.settings.mode;
    }
    get current() {
        return this.#work.current;
    }
    get verifies() {
        return this.#look === 'hashed' ? 'contents' : 'sizes';
    }
    begin(options, context) {
        return this.#told(async () => {
            const { sftp, root } = this.#desk;
            this.#look = options.look ?? 'stored';
            if (!this.settings.dryRun)
                await this.#lock(options, context);
            const described = await this.#work.describe();
            const base = options.release === undefined ? undefined : await this.#work.claim(options.release, this.#look);
            const space = (await ifThere(sftp.freeSpace(root)))?.bytes ?? Number.MAX_SAFE_INTEGER;
            const state = { ...described, current: this.current, freeBytes: space, tools: new Set() };
            return { state, base, bell: undefined };
        });
    }
    async #lock({ lockWaitMs, own = '' }, context) {
        const { sftp, root, state, mark } = this.#desk;
        await makeFolders(sftp, root, 0o755);
        if (this.mode === 'atomic')
            await makeFolder(sftp, `${root}/releases`, 0o755);
        await makeFolder(sftp, state, 0o700);
        await Promise.all(['meta', 'staging'].map((name) => makeFolder(sftp, `${state}/${name}`, 0o755)));
        const { token, holder } = this.settings;
        const request = { state, mark, token, holder, own, waitMs: lockWaitMs };
        this.#desk.lease = await SftpLease.take(sftp, request, { ...context, log: this.#desk.log });
        await this.#waitForShell(lockWaitMs, context);
    }
    /** A run that has a shell on the same site holds a lock of another kind, with signs of life in `beat`. */
    async #waitForShell(lockWaitMs, { clock, signal }) {
        const { sftp, state, lease, log } = this.#desk;
        const giveUp = clock.monotonic() + lockWaitMs;
        for (let isShown = false;;) {
            const beat = await ifThere(sftp.lstat(`${state}/beat`));
            const now = (await sftp.lstat(`${lease?.folder}/beat`)).mtime;
            if (beat === undefined || now - beat.mtime > SHELL_EXPIRY_S)
                return;
            const name = (0,byte_string/* fromByteString */.q)((await this.#desk.lines(`${state}/holder`))[1] ?? '');
            if (clock.monotonic() >= giveUp)
                throw (0,site_host/* lockedFailure */.lT)(this.name, name, lockWaitMs);
            if (!isShown)
                log.info(`waiting for the lock, held by ${name || 'another run'}`);
            isShown = true;
            await clock.sleep(sftp_site_RETRY_MS, signal);
        }
    }
    bring(plan, ending, context) {
        const { clock, signal } = context;
        return this.#told(async () => {
            const start = clock.monotonic();
            const { bytesOnWire, filesSent } = await this.#work.send(plan, context);
            const sent = clock.monotonic();
            await this.#work.publish(plan);
            const verified = clock.monotonic();
            if (ending.activate) {
                signal.throwIfAborted();
                await this.#work.activate(plan.release, true);
            }
            if (ending.finish)
                await this.#finish(plan.release, ending.keep);
            const times = { sentMs: sent - start, verifiedMs: verified - sent };
            return { bytesOnWire, filesSent, codec: 'sftp', lanes: 1, ...times };
        });
    }
    discard() {
        return this.#told(() => this.#work.discard());
    }
    /** No commands run there. */
    async noteAltered() { }
    activate(release, noteBefore) {
        return this.#told(() => this.#work.activate(release, noteBefore));
    }
    activateAndConfirm(release, noteBefore, keep) {
        return this.#told(async () => {
            await this.#work.activate(release, noteBefore);
            await this.#finish(release, keep);
        });
    }
    goBack() {
        return this.#told(() => this.#work.goBack());
    }
    confirm(release) {
        return this.#told(() => this.#work.confirm(release));
    }
    finish(release, keep) {
        return this.#told(() => this.#finish(release, keep));
    }
    async #finish(release, keep) {
        await this.#work.confirm(release);
        // What cannot be removed is no reason to fail a deploy that stands.
        try {
            if (keep !== undefined)
                await this.#work.prune(keep);
            await this.#desk.lease?.release();
        }
        catch (error) {
            if (!(error instanceof SftpError))
                throw error;
            this.#desk.log.warn(`not all old releases could be removed: ${error.message} (${error.details.seen})`);
        }
    }
    async close() {
        const patience = AbortSignal.timeout(CLOSE_MS);
        const late = new Promise((resolve) => patience.addEventListener('abort', () => resolve()));
        await Promise.race([this.#desk.lease?.release().catch(() => { }), late]);
        this.#desk.sftp.close();
        this.connection.close();
    }
    /** What the server says is little: what to do about it is added here. */
    async #told(work) {
        try {
            return await work();
        }
        catch (error) {
            if (!(error instanceof SftpError) || error.details.hint !== undefined)
                throw error;
            const { sftp, root } = this.#desk;
            const space = await sftp.freeSpace(root).catch(() => undefined);
            const seen = space?.isReadOnly ? `${error.details.seen}; a read-only file system` : error.details.seen;
            throw new src_failure/* Failure */.HR(error.message, {
                ...error.details,
                seen,
                ...(0,site_host/* adviceFor */.cp)(`${seen}`, this.settings.target),
                cause: error,
            });
        }
    }
}


/***/ })

};
;