"use strict";
exports.id = 591;
exports.ids = [591];
exports.modules = {

/***/ 591:
/***/ ((__unused_webpack_module, __webpack_exports__, __webpack_require__) => {

/* harmony export */ __webpack_require__.d(__webpack_exports__, {
/* harmony export */   Reading: () => (/* binding */ Reading)
/* harmony export */ });
/* harmony import */ var node_crypto__WEBPACK_IMPORTED_MODULE_0__ = __webpack_require__(7598);
/* harmony import */ var node_crypto__WEBPACK_IMPORTED_MODULE_0___default = /*#__PURE__*/__webpack_require__.n(node_crypto__WEBPACK_IMPORTED_MODULE_0__);
/* harmony import */ var node_fs__WEBPACK_IMPORTED_MODULE_1__ = __webpack_require__(3024);
/* harmony import */ var node_fs__WEBPACK_IMPORTED_MODULE_1___default = /*#__PURE__*/__webpack_require__.n(node_fs__WEBPACK_IMPORTED_MODULE_1__);
/* harmony import */ var _packed_manifest_js__WEBPACK_IMPORTED_MODULE_2__ = __webpack_require__(3055);
/* harmony import */ var _source_file_js__WEBPACK_IMPORTED_MODULE_3__ = __webpack_require__(9771);




/**
 * Small files, which take longer to open than to read, are kept from hashing to sending, up to this many bytes in all;
 * each costs some beyond its own.
 */
const KEEP_BYTES = 24 * 1024 * 1024;
const KEEP_COST = 512;
const SMALL_FILE = 32 * 1024;
const PIECE = 256 * 1024;
const BATCH_ENTRIES = 1024;
const BATCH_CONTENTS = 1024 * 1024;
const BATCH_READ = 4 * 1024 * 1024;
/** Reads and hashes files, and tells of them in batches. */
class Reading {
    #root;
    #tell;
    #piece = Buffer.allocUnsafeSlow(PIECE);
    #keep = KEEP_BYTES;
    #sizes = new Float64Array(BATCH_ENTRIES);
    #hashes = Buffer.alloc(BATCH_ENTRIES * _packed_manifest_js__WEBPACK_IMPORTED_MODULE_2__/* .HASH_BYTES */ .FA);
    #places = new Int32Array(BATCH_ENTRIES);
    #count = 0;
    #bytes = 0;
    #contents = Buffer.allocUnsafeSlow(BATCH_CONTENTS);
    #used = 0;
    constructor(root, tell) {
        this.#root = root;
        this.#tell = tell;
    }
    noFile() {
        this.#add(0, '', -1);
    }
    file(entry) {
        // Those before it need not wait for it.
        if (entry.size > PIECE)
            this.end();
        const file = (0,_source_file_js__WEBPACK_IMPORTED_MODULE_3__/* .openEntry */ .vW)(this.#root, entry);
        try {
            if (!this.#keepSmall(file, entry.size))
                this.#hash(file, entry.size);
        }
        catch (error) {
            throw (0,_source_file_js__WEBPACK_IMPORTED_MODULE_3__/* .isOfSystem */ .bV)(error) ? (0,_source_file_js__WEBPACK_IMPORTED_MODULE_3__/* .unreadable */ .O$)(entry, error) : error;
        }
        finally {
            (0,node_fs__WEBPACK_IMPORTED_MODULE_1__.closeSync)(file);
        }
    }
    /** False where it is not kept, the file then being where it was. */
    #keepSmall(file, size) {
        if (size > SMALL_FILE || size > this.#keep)
            return false;
        // One byte more than was listed: what has another length is read in pieces to its end.
        if (this.#used + size + 1 > BATCH_CONTENTS)
            this.end();
        const place = this.#used;
        if ((0,node_fs__WEBPACK_IMPORTED_MODULE_1__.readSync)(file, this.#contents, place, size + 1, 0) !== size)
            return false;
        this.#keep -= size + KEEP_COST;
        this.#used += size;
        this.#add(size, (0,node_crypto__WEBPACK_IMPORTED_MODULE_0__.hash)('sha256', this.#contents.subarray(place, this.#used), 'binary'), place);
        return true;
    }
    #hash(file, expected) {
        let piece = this.#next(file);
        if (piece.length === expected && expected < PIECE) {
            this.#add(expected, (0,node_crypto__WEBPACK_IMPORTED_MODULE_0__.hash)('sha256', piece, 'binary'), -1);
            return;
        }
        const hash = (0,node_crypto__WEBPACK_IMPORTED_MODULE_0__.createHash)('sha256');
        let size = 0;
        for (; piece.length > 0; piece = this.#next(file)) {
            hash.update(piece);
            size += piece.length;
        }
        this.#add(size, hash.digest('binary'), -1);
    }
    #next(file) {
        return this.#piece.subarray(0, (0,node_fs__WEBPACK_IMPORTED_MODULE_1__.readSync)(file, this.#piece, 0, PIECE, null));
    }
    #add(size, digest, place) {
        const at = this.#count++;
        this.#sizes[at] = size;
        this.#places[at] = place;
        this.#hashes.write(digest, at * _packed_manifest_js__WEBPACK_IMPORTED_MODULE_2__/* .HASH_BYTES */ .FA, _packed_manifest_js__WEBPACK_IMPORTED_MODULE_2__/* .HASH_BYTES */ .FA, 'latin1');
        this.#bytes += size;
        if (this.#count === BATCH_ENTRIES || this.#bytes >= BATCH_READ)
            this.end();
    }
    /** Tells what has come together. */
    end() {
        if (this.#count === 0)
            return;
        const sizes = this.#sizes.slice(0, this.#count);
        const hashes = new Uint8Array(this.#hashes.subarray(0, this.#count * _packed_manifest_js__WEBPACK_IMPORTED_MODULE_2__/* .HASH_BYTES */ .FA));
        const places = this.#places.slice(0, this.#count);
        const contents = this.#takeContents();
        this.#tell({ read: { sizes, hashes, places, contents } }, contents === undefined ? [] : [contents.buffer]);
        this.#count = 0;
        this.#bytes = 0;
        this.#used = 0;
    }
    /** In memory that may change hands: a copy where it would be much for little. */
    #takeContents() {
        if (this.#used === 0)
            return undefined;
        const contents = this.#contents.subarray(0, this.#used);
        if (this.#used < BATCH_CONTENTS / 2)
            return new Uint8Array(contents);
        this.#contents = Buffer.allocUnsafeSlow(BATCH_CONTENTS);
        return contents;
    }
}


/***/ })

};
;