"use strict";
exports.id = 830;
exports.ids = [830];
exports.modules = {

/***/ 5331:
/***/ ((__unused_webpack_module, __webpack_exports__, __webpack_require__) => {

/* harmony export */ __webpack_require__.d(__webpack_exports__, {
/* harmony export */   $: () => (/* binding */ parseModeChange),
/* harmony export */   p: () => (/* binding */ effectiveMode)
/* harmony export */ });
const SHIFTS = { u: 6, g: 3, o: 0 };
/**
 * Parses `chmod` as the command takes it: `644` (folders get the right to enter wherever they can be read),
 * or `u=rwX,go=rX`. Undefined when it is neither.
 */
function parseModeChange(text) {
    if (/^0?[0-7]{3}$/.test(text)) {
        const mode = Number.parseInt(text, 8);
        return (_mode, isFolder) => (isFolder ? mode | ((mode & 0o444) >> 2) : mode);
    }
    const clauses = text.split(',').map((clause) => /^([ugoa]*)([-+=])([rwxX]*)$/.exec(clause));
    if (clauses.some((clause) => clause === null))
        return undefined;
    return (mode, isFolder) => clauses.reduce((bits, clause) => applyClause(bits, isFolder, clause?.[1] ?? '', clause?.[2] ?? '', clause?.[3] ?? ''), mode);
}
function applyClause(mode, isFolder, who, operator, rights) {
    const mayRun = rights.includes('x') || (rights.includes('X') && (isFolder || (mode & 0o111) !== 0));
    const bits = (rights.includes('r') ? 4 : 0) | (rights.includes('w') ? 2 : 0) | (mayRun ? 1 : 0);
    const all = who === '' || who.includes('a');
    let result = mode;
    for (const [letter, shift] of Object.entries(SHIFTS)) {
        if (!all && !who.includes(letter))
            continue;
        if (operator === '=')
            result &= ~(7 << shift);
        if (operator === '-')
            result &= ~(bits << shift);
        else
            result |= bits << shift;
    }
    return result;
}
/** A folder that the deploying user cannot write to could neither be filled nor removed. */
function effectiveMode(mode, isFolder, change) {
    const bits = change === undefined ? mode & 0o777 : change(mode & 0o777, isFolder);
    return bits | (isFolder ? 0o700 : 0o400);
}


/***/ }),

/***/ 6015:
/***/ ((__unused_webpack_module, __webpack_exports__, __webpack_require__) => {

/* harmony export */ __webpack_require__.d(__webpack_exports__, {
/* harmony export */   k: () => (/* binding */ pathMatcher)
/* harmony export */ });
/* harmony import */ var picomatch__WEBPACK_IMPORTED_MODULE_0__ = __webpack_require__(4006);
/* harmony import */ var picomatch__WEBPACK_IMPORTED_MODULE_0___default = /*#__PURE__*/__webpack_require__.n(picomatch__WEBPACK_IMPORTED_MODULE_0__);
/* harmony import */ var _ssh_byte_string_js__WEBPACK_IMPORTED_MODULE_1__ = __webpack_require__(4990);


/**
 * Whether a path matches one of the globs. As with .gitignore and rsync, a glob without a slash means a name in any
 * folder; one with a slash the whole path. Names that begin with a dot are matched like others.
 */
function pathMatcher(globs) {
    const matchers = globs.map((glob) => {
        const trimmed = glob.replace(/^\.?\//, '').replace(/\/+$/, '');
        const anywhere = !glob.replace(/\/+$/, '').includes('/');
        return picomatch__WEBPACK_IMPORTED_MODULE_0___default()(anywhere ? [trimmed, `**/${trimmed}`] : trimmed, {
            dot: true,
            nonegate: true,
            flags: 's',
        });
    });
    return (path) => {
        const text = (0,_ssh_byte_string_js__WEBPACK_IMPORTED_MODULE_1__/* .fromByteString */ .q)(path);
        return matchers.some((matches) => matches(text));
    };
}


/***/ }),

/***/ 3055:
/***/ ((__unused_webpack_module, __webpack_exports__, __webpack_require__) => {

/* harmony export */ __webpack_require__.d(__webpack_exports__, {
/* harmony export */   FA: () => (/* binding */ HASH_BYTES),
/* harmony export */   HC: () => (/* binding */ ManifestBuilder),
/* harmony export */   k9: () => (/* binding */ PackedManifest)
/* harmony export */ });
// Columns instead of objects: a site of a hundred thousand files takes some 8 MB, a tenth of what objects would.
const TYPES = ['file', 'folder', 'link'];
const FILE = TYPES.indexOf('file');
/** As many of a SHA-256's as a manifest has. */
const HASH_BYTES = 16;
/** Collects entries; those in the order of their paths' bytes need no sorting. */
class ManifestBuilder {
    #names = Buffer.allocUnsafe(4096);
    #ends = new Uint32Array(64);
    #types = new Uint8Array(64);
    #modes = new Int16Array(64);
    #sizes = new Float64Array(64);
    #hashes = Buffer.allocUnsafe(64 * HASH_BYTES);
    #targets = new Map();
    #kept = new Map();
    #count = 0;
    #last = '';
    #isSorted = true;
    add(entry) {
        const at = this.#count++;
        const { path, type } = entry;
        const start = at === 0 ? 0 : (this.#ends[at - 1] ?? 0);
        this.#reserve(at + 1, start + path.length);
        if (at > 0 && path <= this.#last)
            this.#isSorted = false;
        this.#last = path;
        this.#names.write(path, start, 'latin1');
        this.#ends[at] = start + path.length;
        this.#types[at] = TYPES.indexOf(type);
        this.#modes[at] = type === 'link' ? 0 : entry.mode;
        this.#sizes[at] = type === 'file' ? entry.size : 0;
        if (type === 'file' && entry.hash !== '')
            this.#hashes.write(entry.hash, at * HASH_BYTES, HASH_BYTES, 'hex');
        if (type === 'link')
            this.#targets.set(at, entry.to);
        if (entry.kept !== undefined)
            this.#kept.set(at, entry.kept);
    }
    finish() {
        const columns = {
            names: this.#names,
            ends: this.#ends,
            types: this.#types,
            modes: this.#modes,
            sizes: this.#sizes,
            hashes: this.#hashes,
            targets: this.#targets,
            kept: this.#kept,
            count: this.#count,
        };
        const manifest = new PackedManifest(columns);
        return this.#isSorted ? manifest : sorted(manifest);
    }
    #reserve(count, bytes) {
        if (bytes > this.#names.length)
            this.#names = grown(this.#names, Buffer.allocUnsafe(bytes * 2));
        const room = this.#ends.length;
        if (count <= room)
            return;
        this.#ends = grown(this.#ends, new Uint32Array(room * 2));
        this.#types = grown(this.#types, new Uint8Array(room * 2));
        this.#modes = grown(this.#modes, new Int16Array(room * 2));
        this.#sizes = grown(this.#sizes, new Float64Array(room * 2));
        this.#hashes = grown(this.#hashes, Buffer.allocUnsafe(room * 2 * HASH_BYTES));
    }
}
class PackedManifest {
    columns;
    #names;
    #hashes;
    #total;
    constructor(columns) {
        this.columns = columns;
        this.#names = asBuffer(columns.names);
        this.#hashes = asBuffer(columns.hashes);
    }
    get size() {
        return this.columns.count;
    }
    get keepsAny() {
        return this.columns.kept.size > 0;
    }
    get(path) {
        const at = this.#find(path);
        return at === undefined ? undefined : this.at(at);
    }
    has(path) {
        return this.#find(path) !== undefined;
    }
    /** Where a file's path is; found at once where it is that of the first file behind `last`. */
    placeOf(path, last) {
        const { types } = this.columns;
        let next = last + 1;
        while (next < this.size && types[next] !== FILE)
            next++;
        return next < this.size && this.path(next) === path ? next : this.#find(path);
    }
    *keys() {
        for (let at = 0; at < this.size; at++)
            yield this.path(at);
    }
    *values() {
        for (let at = 0; at < this.size; at++)
            yield this.at(at);
    }
    *unhashed() {
        for (let at = 0; at < this.size; at++)
            yield this.#unhashedAt(at);
    }
    at(at) {
        const entry = this.#unhashedAt(at);
        return entry.type === 'file' ? { ...entry, hash: this.#hashAt(at) } : entry;
    }
    #unhashedAt(at) {
        const { types, modes, sizes, targets, kept } = this.columns;
        const path = this.path(at);
        const type = TYPES[types[at] ?? 0] ?? 'file';
        const mode = modes[at] ?? 0;
        const entry = type === 'file'
            ? { type, path, mode, size: sizes[at] ?? 0 }
            : type === 'folder'
                ? { type, path, mode }
                : { type, path, to: targets.get(at) ?? '' };
        const since = kept.get(at);
        return since === undefined ? entry : { ...entry, kept: since };
    }
    #hashAt(at) {
        return this.#hashes.toString('hex', at * HASH_BYTES, (at + 1) * HASH_BYTES);
    }
    get total() {
        if (this.#total === undefined) {
            let files = 0;
            let bytes = 0;
            for (const size of this.sizes()) {
                files++;
                bytes += size;
            }
            this.#total = { files, bytes };
        }
        return this.#total;
    }
    fileFrom(place) {
        for (let step = 0; step < this.size; step++) {
            const at = (place + step) % this.size;
            if (this.columns.types[at] === FILE)
                return this.at(at);
        }
        return undefined;
    }
    *sizes() {
        const { types, sizes } = this.columns;
        for (let at = 0; at < this.size; at++)
            if (types[at] === FILE)
                yield sizes[at] ?? 0;
    }
    *hashes() {
        const { types } = this.columns;
        for (let at = 0; at < this.size; at++)
            if (types[at] === FILE)
                yield this.#hashAt(at);
    }
    *ofType(type) {
        const wanted = TYPES.indexOf(type);
        const { types } = this.columns;
        for (let at = 0; at < this.size; at++) {
            if (types[at] === wanted)
                yield this.at(at);
        }
    }
    /** What the entries from one on were found to hold; `hashes` one behind the other. */
    setContents(from, sizes, hashes) {
        this.columns.sizes.set(sizes, from);
        this.#total = undefined;
        this.#hashes.set(hashes, from * HASH_BYTES);
    }
    comparePaths(a, b) {
        const { ends } = this.columns;
        return this.#names.compare(this.#names, this.#start(b), ends[b] ?? 0, this.#start(a), ends[a] ?? 0);
    }
    path(at) {
        return this.#names.toString('latin1', this.#start(at), this.columns.ends[at]);
    }
    #start(at) {
        return at === 0 ? 0 : (this.columns.ends[at - 1] ?? 0);
    }
    #find(path) {
        const names = this.#names;
        const { ends } = this.columns;
        const wanted = Buffer.from(path, 'latin1');
        let low = 0;
        let high = this.size;
        while (low < high) {
            const middle = (low + high) >>> 1;
            const order = names.compare(wanted, 0, wanted.length, this.#start(middle), ends[middle] ?? 0);
            if (order === 0)
                return middle;
            if (order < 0)
                low = middle + 1;
            else
                high = middle;
        }
        return undefined;
    }
}
function sorted(manifest) {
    const order = Uint32Array.from({ length: manifest.size }, (_, at) => at);
    order.sort((a, b) => manifest.comparePaths(a, b) || a - b);
    const builder = new ManifestBuilder();
    for (const [place, at] of order.entries()) {
        const next = order[place + 1];
        if (next === undefined || manifest.comparePaths(at, next) !== 0)
            builder.add(manifest.at(at));
    }
    return builder.finish();
}
function asBuffer({ buffer, byteOffset, byteLength }) {
    return Buffer.from(buffer, byteOffset, byteLength);
}
function grown(from, to) {
    to.set(from);
    return to;
}


/***/ }),

/***/ 9771:
/***/ ((__unused_webpack_module, __webpack_exports__, __webpack_require__) => {

/* harmony export */ __webpack_require__.d(__webpack_exports__, {
/* harmony export */   O$: () => (/* binding */ unreadable),
/* harmony export */   Tq: () => (/* binding */ openFile),
/* harmony export */   bV: () => (/* binding */ isOfSystem),
/* harmony export */   vW: () => (/* binding */ openEntry)
/* harmony export */ });
/* harmony import */ var node_fs__WEBPACK_IMPORTED_MODULE_0__ = __webpack_require__(3024);
/* harmony import */ var node_fs__WEBPACK_IMPORTED_MODULE_0___default = /*#__PURE__*/__webpack_require__.n(node_fs__WEBPACK_IMPORTED_MODULE_0__);
/* harmony import */ var _failure_js__WEBPACK_IMPORTED_MODULE_1__ = __webpack_require__(1633);
/* harmony import */ var _ssh_byte_string_js__WEBPACK_IMPORTED_MODULE_3__ = __webpack_require__(4990);
/* harmony import */ var _source_listing_js__WEBPACK_IMPORTED_MODULE_2__ = __webpack_require__(4701);




/** What has taken a listed file's place is not followed where it is a link, and not waited for where it is a pipe. */
const HOW = node_fs__WEBPACK_IMPORTED_MODULE_0__.constants.O_RDONLY | node_fs__WEBPACK_IMPORTED_MODULE_0__.constants.O_NOFOLLOW | node_fs__WEBPACK_IMPORTED_MODULE_0__.constants.O_NONBLOCK;
/** Opens a listed file for reading; returns its descriptor. Throws a `Failure` where it has gone or cannot be read. */
function openEntry(root, entry) {
    try {
        return (0,node_fs__WEBPACK_IMPORTED_MODULE_0__.openSync)((0,_source_listing_js__WEBPACK_IMPORTED_MODULE_2__/* .locate */ .x)(root, entry.path), HOW);
    }
    catch (error) {
        throw unreadable(entry, error);
    }
}
/** For an error of the file system. */
function unreadable(entry, error) {
    if (['ENOENT', 'ELOOP', 'EISDIR'].includes(error.code ?? ''))
        return changed(entry);
    return new _failure_js__WEBPACK_IMPORTED_MODULE_1__/* .Failure */ .HR(`'${(0,_ssh_byte_string_js__WEBPACK_IMPORTED_MODULE_3__/* .fromByteString */ .q)(entry.path)}' cannot be read`, {
        seen: (0,_failure_js__WEBPACK_IMPORTED_MODULE_1__/* .describeError */ .Uc)(error),
        state: 'the site on the server is as it was.',
        hint: "let the runner's user read all files of the source folder",
        cause: error,
    });
}
/** The server verifies the content; the size must be right already, or the archive would be torn. */
function openFile(root, entry, from) {
    const file = openEntry(root, entry);
    if ((0,node_fs__WEBPACK_IMPORTED_MODULE_0__.fstatSync)(file).size !== entry.size) {
        (0,node_fs__WEBPACK_IMPORTED_MODULE_0__.closeSync)(file);
        throw changed(entry);
    }
    let at = from;
    return {
        read(room) {
            const count = (0,node_fs__WEBPACK_IMPORTED_MODULE_0__.readSync)(file, room, 0, room.length, at);
            if (count === 0)
                throw changed(entry);
            at += count;
            return count;
        },
        close: () => (0,node_fs__WEBPACK_IMPORTED_MODULE_0__.closeSync)(file),
    };
}
function changed({ path }) {
    return new _failure_js__WEBPACK_IMPORTED_MODULE_1__/* .Failure */ .HR(`'${(0,_ssh_byte_string_js__WEBPACK_IMPORTED_MODULE_3__/* .fromByteString */ .q)(path)}' changed while it was uploaded`, {
        state: 'the site on the server is as it was.',
        hint: 'let the build come to its end before this step',
    });
}
/** Whether an error comes from the file system. */
const isOfSystem = (error) => error instanceof Error && 'syscall' in error;


/***/ }),

/***/ 4701:
/***/ ((__unused_webpack_module, __webpack_exports__, __webpack_require__) => {

/* harmony export */ __webpack_require__.d(__webpack_exports__, {
/* harmony export */   l: () => (/* binding */ Listing),
/* harmony export */   x: () => (/* binding */ locate)
/* harmony export */ });
/* harmony import */ var node_fs__WEBPACK_IMPORTED_MODULE_0__ = __webpack_require__(3024);
/* harmony import */ var node_fs__WEBPACK_IMPORTED_MODULE_0___default = /*#__PURE__*/__webpack_require__.n(node_fs__WEBPACK_IMPORTED_MODULE_0__);
/* harmony import */ var _failure_js__WEBPACK_IMPORTED_MODULE_1__ = __webpack_require__(1633);
/* harmony import */ var _ssh_byte_string_js__WEBPACK_IMPORTED_MODULE_3__ = __webpack_require__(4990);
/* harmony import */ var _file_mode_js__WEBPACK_IMPORTED_MODULE_2__ = __webpack_require__(5331);




/** What lies in a folder and may be uploaded; throws where something may not. Nothing is read of the files yet. */
class Listing {
    #root;
    #realRoot;
    #options;
    constructor(root, options) {
        this.#root = root;
        this.#realRoot = node_fs__WEBPACK_IMPORTED_MODULE_0__.realpathSync.native(locate(root, ''), 'latin1');
        this.#options = options;
    }
    /** In the order of the paths' bytes: what lies in a folder comes where its path with the slash belongs. */
    *entries(folder, depth) {
        if (depth > 500)
            throw bad(folder, 'lies more than 500 folders deep');
        const listed = (0,node_fs__WEBPACK_IMPORTED_MODULE_0__.readdirSync)(locate(this.#root, folder), { encoding: 'latin1' });
        const folders = new Set();
        // A folder's name with a slash stands for what lies in it; it is known to be one when its own name has come.
        const order = [...listed, ...listed.map((name) => `${name}/`)].sort(byBytes);
        for (const name of order) {
            const isInside = name.endsWith('/');
            if (isInside && !folders.has(name))
                continue;
            const path = folder === '' ? name : `${folder}/${name}`;
            if (isInside) {
                yield* this.entries(path.slice(0, -1), depth + 1);
                continue;
            }
            if (this.#options.exclude(path))
                continue;
            const entry = this.#entry(path);
            if (entry.type === 'folder')
                folders.add(`${name}/`);
            yield entry;
        }
    }
    #entry(path) {
        const stat = (0,node_fs__WEBPACK_IMPORTED_MODULE_0__.lstatSync)(locate(this.#root, path));
        const mode = (0,_file_mode_js__WEBPACK_IMPORTED_MODULE_2__/* .effectiveMode */ .p)(stat.mode, stat.isDirectory(), this.#options.modeChange);
        if (stat.isDirectory())
            return { type: 'folder', path, mode };
        if (stat.isFile())
            return { type: 'file', path, mode, size: stat.size, hash: '' };
        if (stat.isSymbolicLink())
            return this.#link(path);
        throw bad(path, 'is neither a file, a folder nor a symbolic link');
    }
    /** A link is kept as a link where it means the same on the server: relative, and inside the folder. */
    #link(path) {
        const full = locate(this.#root, path);
        const to = (0,node_fs__WEBPACK_IMPORTED_MODULE_0__.readlinkSync)(full, 'latin1');
        if (to.startsWith('/'))
            throw bad(path, `is a symbolic link to an absolute path (${(0,_ssh_byte_string_js__WEBPACK_IMPORTED_MODULE_3__/* .fromByteString */ .q)(to)})`);
        if (leaves(path, to) || this.#reallyLeaves(full)) {
            throw bad(path, `is a symbolic link that leaves the folder (${(0,_ssh_byte_string_js__WEBPACK_IMPORTED_MODULE_3__/* .fromByteString */ .q)(to)})`);
        }
        return { type: 'link', path, to };
    }
    /** Follows the link through other links, where what it names exists. */
    #reallyLeaves(full) {
        try {
            const real = node_fs__WEBPACK_IMPORTED_MODULE_0__.realpathSync.native(full, 'latin1');
            const root = this.#realRoot;
            return real !== root && !real.startsWith(root === '/' ? '/' : `${root}/`);
        }
        catch (error) {
            if (['ENOENT', 'ELOOP', 'ENOTDIR'].includes(error.code ?? ''))
                return false;
            throw error;
        }
    }
}
/** By the letters alone, which also holds for a link to something that does not exist. */
function leaves(path, to) {
    let depth = path.split('/').length - 1;
    for (const part of to.split('/')) {
        if (part === '..')
            depth--;
        else if (part !== '' && part !== '.')
            depth++;
        if (depth < 0)
            return true;
    }
    return false;
}
function bad(path, what) {
    return new _failure_js__WEBPACK_IMPORTED_MODULE_1__/* .Failure */ .HR(`in the source folder, '${(0,_ssh_byte_string_js__WEBPACK_IMPORTED_MODULE_3__/* .fromByteString */ .q)(path)}' ${what}`, {
        state: 'nothing was changed.',
        hint: 'remove it, copy what it stands for, or name it in `exclude`',
    });
}
/** A path below a folder, for node:fs: as text where that is the same, which it mostly is and which is faster. */
function locate(root, path) {
    const whole = path === '' ? root : `${root}/${path}`;
    return /[\x80-\xff]/.test(whole) ? Buffer.from(whole, 'latin1') : whole;
}
const byBytes = (a, b) => (a < b ? -1 : a > b ? 1 : 0);


/***/ }),

/***/ 9830:
/***/ ((__unused_webpack_module, __webpack_exports__, __webpack_require__) => {

__webpack_require__.r(__webpack_exports__);
/* harmony export */ __webpack_require__.d(__webpack_exports__, {
/* harmony export */   carryOutOrder: () => (/* binding */ carryOutOrder),
/* harmony export */   readSource: () => (/* binding */ readSource)
/* harmony export */ });
/* harmony import */ var node_fs__WEBPACK_IMPORTED_MODULE_0__ = __webpack_require__(3024);
/* harmony import */ var node_fs__WEBPACK_IMPORTED_MODULE_0___default = /*#__PURE__*/__webpack_require__.n(node_fs__WEBPACK_IMPORTED_MODULE_0__);
/* harmony import */ var node_worker_threads__WEBPACK_IMPORTED_MODULE_1__ = __webpack_require__(5919);
/* harmony import */ var node_worker_threads__WEBPACK_IMPORTED_MODULE_1___default = /*#__PURE__*/__webpack_require__.n(node_worker_threads__WEBPACK_IMPORTED_MODULE_1__);
/* harmony import */ var _failure_js__WEBPACK_IMPORTED_MODULE_2__ = __webpack_require__(1633);
/* harmony import */ var _ssh_byte_string_js__WEBPACK_IMPORTED_MODULE_7__ = __webpack_require__(4990);
/* harmony import */ var _file_mode_js__WEBPACK_IMPORTED_MODULE_3__ = __webpack_require__(5331);
/* harmony import */ var _glob_js__WEBPACK_IMPORTED_MODULE_8__ = __webpack_require__(6015);
/* harmony import */ var _packed_manifest_js__WEBPACK_IMPORTED_MODULE_4__ = __webpack_require__(3055);
/* harmony import */ var _source_file_js__WEBPACK_IMPORTED_MODULE_5__ = __webpack_require__(9771);
/* harmony import */ var _source_listing_js__WEBPACK_IMPORTED_MODULE_6__ = __webpack_require__(4701);









/** The whole life of a thread that reads: it carries out the order that it was started with, and ends. */
function carryOutOrder() {
    void readSource(node_worker_threads__WEBPACK_IMPORTED_MODULE_1__.workerData, (news, handedOver = []) => node_worker_threads__WEBPACK_IMPORTED_MODULE_1__.parentPort?.postMessage(news, handedOver));
}
/** Lists a folder, then reads and hashes its files, and tells of it. Names are taken as bytes, whatever they hold. */
async function readSource(order, tell) {
    try {
        const manifest = listFolder(order, tell);
        // What hashes takes about as long to load as a folder takes to be listed.
        const { Reading } = await __webpack_require__.e(/* import() */ 591).then(__webpack_require__.bind(__webpack_require__, 591));
        const reading = new Reading((0,_ssh_byte_string_js__WEBPACK_IMPORTED_MODULE_7__/* .toByteString */ .p)(order.folder), tell);
        for (const entry of manifest.unhashed()) {
            if (entry.type === 'file')
                reading.file(entry);
            else
                reading.noFile();
        }
        reading.end();
    }
    catch (error) {
        // An error's class does not get through to the other thread.
        const { message: what, details } = asFailure(error);
        const { cause, ...texts } = details;
        tell({ failed: { what, ...texts } });
    }
}
function listFolder({ folder, exclude, chmod }, tell) {
    const modeChange = (0,_file_mode_js__WEBPACK_IMPORTED_MODULE_3__/* .parseModeChange */ .$)(chmod);
    const listing = new _source_listing_js__WEBPACK_IMPORTED_MODULE_6__/* .Listing */ .l((0,_ssh_byte_string_js__WEBPACK_IMPORTED_MODULE_7__/* .toByteString */ .p)(folder), { exclude: (0,_glob_js__WEBPACK_IMPORTED_MODULE_8__/* .pathMatcher */ .k)(exclude), modeChange });
    const builder = new _packed_manifest_js__WEBPACK_IMPORTED_MODULE_4__/* .ManifestBuilder */ .HC();
    let files = 0;
    for (const entry of listing.entries('', 0)) {
        builder.add(entry);
        if (entry.type !== 'folder')
            files++;
    }
    if (files === 0) {
        throw new _failure_js__WEBPACK_IMPORTED_MODULE_2__/* .Failure */ .HR('the source folder holds no files', {
            seen: folder,
            state: 'nothing was changed.',
            hint: 'check that the build ran before this step, and the globs of `exclude`',
        });
    }
    const manifest = builder.finish();
    const rootMode = (0,_file_mode_js__WEBPACK_IMPORTED_MODULE_3__/* .effectiveMode */ .p)((0,node_fs__WEBPACK_IMPORTED_MODULE_0__.lstatSync)(folder).mode, true, modeChange);
    tell({ listed: { columns: manifest.columns, files, rootMode } });
    return manifest;
}
function asFailure(error) {
    if (error instanceof _failure_js__WEBPACK_IMPORTED_MODULE_2__/* .Failure */ .HR)
        return error;
    if (!(0,_source_file_js__WEBPACK_IMPORTED_MODULE_5__/* .isOfSystem */ .bV)(error))
        throw error;
    return new _failure_js__WEBPACK_IMPORTED_MODULE_2__/* .Failure */ .HR('the source folder cannot be read', {
        seen: (0,_failure_js__WEBPACK_IMPORTED_MODULE_2__/* .describeError */ .Uc)(error),
        state: 'the site on the server is as it was.',
        hint: 'let the build come to its end before this step, and the user of the runner read all of the folder',
    });
}


/***/ }),

/***/ 4990:
/***/ ((__unused_webpack_module, __webpack_exports__, __webpack_require__) => {

/* harmony export */ __webpack_require__.d(__webpack_exports__, {
/* harmony export */   p: () => (/* binding */ toByteString),
/* harmony export */   q: () => (/* binding */ fromByteString)
/* harmony export */ });
const toByteString = (text) => Buffer.from(text, 'utf8').toString('latin1');
/** How a byte string reads for people. */
const fromByteString = (bytes) => Buffer.from(bytes, 'latin1').toString('utf8');


/***/ })

};
;