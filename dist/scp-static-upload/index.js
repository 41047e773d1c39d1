/******/ (() => { // webpackBootstrap
/******/ 	"use strict";
/******/ 	var __webpack_modules__ = ({

/***/ 1242:
/***/ ((__unused_webpack_module, __webpack_exports__, __nccwpck_require__) => {

/* harmony export */ __nccwpck_require__.d(__webpack_exports__, {
/* harmony export */   c: () => (/* binding */ readSourceOrder)
/* harmony export */ });
/* harmony import */ var node_path__WEBPACK_IMPORTED_MODULE_0__ = __nccwpck_require__(6760);
/* harmony import */ var node_path__WEBPACK_IMPORTED_MODULE_0___default = /*#__PURE__*/__nccwpck_require__.n(node_path__WEBPACK_IMPORTED_MODULE_0__);

/** Reads what tells which files are meant; a relative `source` is relative to `workspace`. Nothing of it is checked. */
function readSourceOrder(read, workspace) {
    return {
        folder: (0,node_path__WEBPACK_IMPORTED_MODULE_0__.resolve)(workspace, read.text('source')),
        exclude: read.lines('exclude'),
        chmod: read.text('chmod'),
    };
}


/***/ }),

/***/ 7607:
/***/ ((__unused_webpack_module, __webpack_exports__, __nccwpck_require__) => {

/* harmony export */ __nccwpck_require__.d(__webpack_exports__, {
/* harmony export */   E: () => (/* binding */ parseDuration),
/* harmony export */   a: () => (/* binding */ formatDuration)
/* harmony export */ });
const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
/** Milliseconds of `500ms`, `10s`, `2m`, `1h`; undefined when the text is anything else. */
function parseDuration(text) {
    const match = /^(\d{1,9})(ms|s|m|h)$/.exec(text.trim());
    if (!match)
        return undefined;
    return Number(match[1]) * UNIT_MS[match[2]];
}
/** Milliseconds as people read them: `850 ms`, `12.3 s`, `4 min 05 s`, `1 h 02 min`. */
function formatDuration(ms) {
    if (ms < 1_000)
        return `${Math.round(ms)} ms`;
    if (ms < 59_950)
        return `${(ms / 1_000).toFixed(1)} s`;
    const seconds = Math.round(ms / 1_000);
    const pad = (value) => String(value).padStart(2, '0');
    if (seconds < 3_600)
        return `${Math.floor(seconds / 60)} min ${pad(seconds % 60)} s`;
    const minutes = Math.round(seconds / 60);
    return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} min`;
}


/***/ }),

/***/ 1633:
/***/ ((__unused_webpack_module, __webpack_exports__, __nccwpck_require__) => {

/* harmony export */ __nccwpck_require__.d(__webpack_exports__, {
/* harmony export */   HR: () => (/* binding */ Failure),
/* harmony export */   Uc: () => (/* binding */ describeError),
/* harmony export */   cJ: () => (/* binding */ Cancelled)
/* harmony export */ });
/** An error that a person can act on: what failed, where, what was seen, how things stand, what to do. */
class Failure extends Error {
    name = 'Failure';
    details;
    constructor(what, details = {}) {
        super(what, { cause: details.cause });
        this.details = details;
    }
    /** The whole text, a line per part. */
    describe() {
        const { host, seen, state, hint } = this.details;
        const lines = [host === undefined ? this.message : `${host}: ${this.message}`];
        if (seen !== undefined && seen !== '')
            lines.push(`Seen: ${seen}`);
        if (state !== undefined)
            lines.push(`State now: ${state}`);
        if (hint !== undefined)
            lines.push(`What to do: ${hint}`);
        return lines.join('\n');
    }
}
/** The work was cancelled (by a person, or because the job's time ran out). */
class Cancelled extends Failure {
    name = 'Cancelled';
}
/** Text for any thrown thing, for `seen` and logs. */
function describeError(error) {
    if (error instanceof Failure)
        return error.describe();
    if (error instanceof AggregateError && error.errors.length > 0) {
        return error.errors.map(describeError).join('; ');
    }
    if (error instanceof Error) {
        const cause = error.cause instanceof Error ? ` (${describeError(error.cause)})` : '';
        return `${error.message || error.name}${cause}`;
    }
    return String(error);
}


/***/ }),

/***/ 7569:
/***/ ((__unused_webpack_module, __webpack_exports__, __nccwpck_require__) => {

/* harmony export */ __nccwpck_require__.d(__webpack_exports__, {
/* harmony export */   L: () => (/* binding */ readGitHubContext),
/* harmony export */   f: () => (/* binding */ defaultRelease)
/* harmony export */ });
/** Reads the context from a runner's environment. */
function readGitHubContext(env) {
    const text = (name) => env[name] ?? '';
    const serverUrl = text('GITHUB_SERVER_URL') || 'https://github.com';
    const repository = text('GITHUB_REPOSITORY');
    const runId = text('GITHUB_RUN_ID');
    return {
        sha: text('GITHUB_SHA'),
        ref: text('GITHUB_REF'),
        repository,
        serverUrl,
        apiUrl: text('GITHUB_API_URL') || 'https://api.github.com',
        runId,
        runAttempt: text('GITHUB_RUN_ATTEMPT') || '1',
        actor: text('GITHUB_ACTOR'),
        workspace: text('GITHUB_WORKSPACE') || process.cwd(),
        runUrl: repository && runId ? `${serverUrl}/${repository}/actions/runs/${runId}` : '',
    };
}
/** The release id where the user names none: `<sha7>-<run id>`. */
function defaultRelease({ sha, runId }) {
    return `${sha.slice(0, 7) || 'manual'}-${runId || '0'}`;
}


/***/ }),

/***/ 7344:
/***/ ((__unused_webpack_module, __webpack_exports__, __nccwpck_require__) => {

/* harmony export */ __nccwpck_require__.d(__webpack_exports__, {
/* harmony export */   T: () => (/* binding */ parseInputs),
/* harmony export */   i: () => (/* binding */ InputReader)
/* harmony export */ });
/* harmony import */ var _duration_js__WEBPACK_IMPORTED_MODULE_0__ = __nccwpck_require__(7607);
/* harmony import */ var _failure_js__WEBPACK_IMPORTED_MODULE_1__ = __nccwpck_require__(1633);


/** A step's inputs from the JSON of its `inputs` context; undefined where that is none. */
function parseInputs(json) {
    let parsed;
    try {
        parsed = JSON.parse(json ?? '');
    }
    catch {
        // Its message shows a part of the text, in which there may be secrets.
        return undefined;
    }
    return Object.fromEntries(Object.entries(parsed).map(([name, value]) => [name, String(value ?? '')]));
}
/**
 * Reads a step's inputs and collects everything that is wrong with them, so that all of it is reported at once.
 * Each method returns a value of its type even for a bad input; `finish` throws before any such value is used.
 * Defaults live in action.yml alone.
 */
class InputReader {
    #values;
    #mask;
    #read = new Set();
    #problems = [];
    constructor(values, mask) {
        // The runner takes names in any case and hands them over as the caller wrote them.
        this.#values = new Map(Object.entries(values).map(([name, value]) => [name.toLowerCase(), value]));
        this.#mask = mask;
    }
    /** Text without surrounding white space; '' when the input is empty. */
    text(name) {
        this.#read.add(name);
        return (this.#values.get(name) ?? '').trim();
    }
    /** The text, or undefined when the input is empty. */
    optional(name) {
        return this.text(name) || undefined;
    }
    required(name) {
        const value = this.text(name);
        if (value === '')
            this.problem(name, 'is required and empty');
        return value;
    }
    /** A value from `secrets`, masked at once. Surrounding white space is kept: it may belong to a key. */
    secret(name, { required = false } = {}) {
        this.#read.add(name);
        const value = this.#values.get(name) ?? '';
        if (value.trim() !== '') {
            this.#mask(value);
            return value;
        }
        if (required) {
            this.problem(name, 'is required and empty: the secret it comes from does not exist in this repository or environment (or the run was started from a fork, which gets no secrets)');
        }
        return '';
    }
    /** YAML 1.2's booleans. */
    boolean(name) {
        const value = this.text(name);
        if (/^(true|True|TRUE)$/.test(value))
            return true;
        if (!/^(false|False|FALSE)$/.test(value))
            this.problem(name, `is '${value}': write true or false`);
        return false;
    }
    integer(name, { min, max }) {
        const value = this.text(name);
        const number = Number(value);
        if (/^\d{1,9}$/.test(value) && number >= min && number <= max)
            return number;
        this.problem(name, `is '${value}': write a whole number from ${min} to ${max}`);
        return min;
    }
    /** Milliseconds. */
    duration(name) {
        const value = this.text(name);
        const ms = (0,_duration_js__WEBPACK_IMPORTED_MODULE_0__/* .parseDuration */ .E)(value);
        if (ms === undefined)
            this.problem(name, `is '${value}': write a duration such as 500ms, 10s, 2m or 1h`);
        return ms ?? 0;
    }
    choice(name, choices) {
        const value = this.text(name);
        const found = choices.find((choice) => choice === value);
        if (found === undefined)
            this.problem(name, `is '${value}': write one of ${choices.join(', ')}`);
        return found ?? choices[0];
    }
    /** One item a line; blank lines and lines that begin with # do not count. */
    lines(name) {
        return this.text(name)
            .split(/\r?\n/)
            .map((line) => line.trim())
            .filter((line) => line !== '' && !line.startsWith('#'));
    }
    /**
     * `KEY=VALUE` lines as an environment; the values are kept as they are. A value of several lines is written as in
     * GITHUB_ENV: `KEY<<END`, its lines, and a line `END`.
     */
    environment(name) {
        const env = {};
        const lines = this.text(name).split(/\r?\n/);
        for (let line = lines.shift(); line !== undefined; line = lines.shift()) {
            const text = line.trim();
            if (text === '' || text.startsWith('#'))
                continue;
            const [, key, sign, rest = ''] = /^([A-Za-z_][A-Za-z0-9_]*)(=|<<)(.*)$/.exec(text) ?? [];
            if (key === undefined)
                this.problem(name, `'${text.split('=')[0]}' is not a KEY=VALUE line`);
            else if (sign === '=')
                env[key] = rest;
            else {
                const end = lines.findIndex((one) => one.trim() === rest);
                if (rest === '' || end < 0)
                    this.problem(name, `begins ${key}<<${rest} and has no line '${rest}' that ends it`);
                env[key] = lines.splice(0, end < 0 ? lines.length : end).join('\n');
                lines.shift();
            }
        }
        return env;
    }
    /** An input that this version does not serve: anything but the value that asks for nothing is refused. */
    unserved(name, idle = ['']) {
        const value = this.text(name);
        if (!idle.includes(value)) {
            const allowed = idle.map((one) => (one === '' ? 'nothing' : `'${one}'`)).join(' or ');
            this.problem(name, `is '${value}', which this version of the action cannot do: write ${allowed}`);
        }
    }
    /** Notes that an input is wrong. `what` completes the sentence that begins with the input's name. */
    problem(name, what) {
        this.#problems.push(`\`${name}\` ${what}`);
    }
    /** Throws one `Failure` with all problems, unknown inputs among them. */
    finish() {
        for (const name of this.#values.keys()) {
            if (this.#read.has(name))
                continue;
            const near = [...this.#read].filter((known) => distance(known, name) <= 2);
            const hint = near.length > 0 ? `did you mean ${near.map((one) => `\`${one}\``).join(' or ')}?` : '';
            this.#problems.push(`\`${name}\` is not an input of this action${hint && `: ${hint}`}`);
        }
        if (this.#problems.length === 0)
            return;
        throw new _failure_js__WEBPACK_IMPORTED_MODULE_1__/* .Failure */ .HR(`${this.#problems.length === 1 ? 'an input is' : 'some inputs are'} wrong`, {
            seen: this.#problems.map((problem) => `\n  - ${problem}`).join(''),
            state: 'no connection was made and nothing was changed.',
            hint: "correct the step's `with:` block; the README of the action lists its inputs",
        });
    }
}
/** Levenshtein distance, for hints only. */
function distance(a, b) {
    let row = Array.from({ length: b.length + 1 }, (_, index) => index);
    for (let i = 1; i <= a.length; i++) {
        const next = [i];
        for (let j = 1; j <= b.length; j++) {
            const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
            next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
        }
        row = next;
    }
    return row[b.length] ?? 0;
}


/***/ }),

/***/ 2613:
/***/ ((module) => {

module.exports = require("assert");

/***/ }),

/***/ 181:
/***/ ((module) => {

module.exports = require("buffer");

/***/ }),

/***/ 5317:
/***/ ((module) => {

module.exports = require("child_process");

/***/ }),

/***/ 6982:
/***/ ((module) => {

module.exports = require("crypto");

/***/ }),

/***/ 4434:
/***/ ((module) => {

module.exports = require("events");

/***/ }),

/***/ 9896:
/***/ ((module) => {

module.exports = require("fs");

/***/ }),

/***/ 9278:
/***/ ((module) => {

module.exports = require("net");

/***/ }),

/***/ 4589:
/***/ ((module) => {

module.exports = require("node:assert");

/***/ }),

/***/ 6698:
/***/ ((module) => {

module.exports = require("node:async_hooks");

/***/ }),

/***/ 4573:
/***/ ((module) => {

module.exports = require("node:buffer");

/***/ }),

/***/ 7540:
/***/ ((module) => {

module.exports = require("node:console");

/***/ }),

/***/ 7598:
/***/ ((module) => {

module.exports = require("node:crypto");

/***/ }),

/***/ 3053:
/***/ ((module) => {

module.exports = require("node:diagnostics_channel");

/***/ }),

/***/ 610:
/***/ ((module) => {

module.exports = require("node:dns");

/***/ }),

/***/ 8474:
/***/ ((module) => {

module.exports = require("node:events");

/***/ }),

/***/ 3024:
/***/ ((module) => {

module.exports = require("node:fs");

/***/ }),

/***/ 1455:
/***/ ((module) => {

module.exports = require("node:fs/promises");

/***/ }),

/***/ 7067:
/***/ ((module) => {

module.exports = require("node:http");

/***/ }),

/***/ 2467:
/***/ ((module) => {

module.exports = require("node:http2");

/***/ }),

/***/ 7030:
/***/ ((module) => {

module.exports = require("node:net");

/***/ }),

/***/ 8161:
/***/ ((module) => {

module.exports = require("node:os");

/***/ }),

/***/ 6760:
/***/ ((module) => {

module.exports = require("node:path");

/***/ }),

/***/ 643:
/***/ ((module) => {

module.exports = require("node:perf_hooks");

/***/ }),

/***/ 1708:
/***/ ((module) => {

module.exports = require("node:process");

/***/ }),

/***/ 1792:
/***/ ((module) => {

module.exports = require("node:querystring");

/***/ }),

/***/ 99:
/***/ ((module) => {

module.exports = require("node:sqlite");

/***/ }),

/***/ 7075:
/***/ ((module) => {

module.exports = require("node:stream");

/***/ }),

/***/ 6193:
/***/ ((module) => {

module.exports = require("node:string_decoder");

/***/ }),

/***/ 7997:
/***/ ((module) => {

module.exports = require("node:timers");

/***/ }),

/***/ 8500:
/***/ ((module) => {

module.exports = require("node:timers/promises");

/***/ }),

/***/ 9311:
/***/ ((module) => {

module.exports = require("node:tls");

/***/ }),

/***/ 3136:
/***/ ((module) => {

module.exports = require("node:url");

/***/ }),

/***/ 7975:
/***/ ((module) => {

module.exports = require("node:util");

/***/ }),

/***/ 3429:
/***/ ((module) => {

module.exports = require("node:util/types");

/***/ }),

/***/ 8877:
/***/ ((module) => {

module.exports = require("node:v8");

/***/ }),

/***/ 5919:
/***/ ((module) => {

module.exports = require("node:worker_threads");

/***/ }),

/***/ 8522:
/***/ ((module) => {

module.exports = require("node:zlib");

/***/ }),

/***/ 857:
/***/ ((module) => {

module.exports = require("os");

/***/ }),

/***/ 6928:
/***/ ((module) => {

module.exports = require("path");

/***/ }),

/***/ 2203:
/***/ ((module) => {

module.exports = require("stream");

/***/ }),

/***/ 9023:
/***/ ((module) => {

module.exports = require("util");

/***/ }),

/***/ 3106:
/***/ ((module) => {

module.exports = require("zlib");

/***/ })

/******/ 	});
/************************************************************************/
/******/ 	// The module cache
/******/ 	var __webpack_module_cache__ = {};
/******/ 	
/******/ 	// The require function
/******/ 	function __nccwpck_require__(moduleId) {
/******/ 		// Check if module is in cache
/******/ 		var cachedModule = __webpack_module_cache__[moduleId];
/******/ 		if (cachedModule !== undefined) {
/******/ 			return cachedModule.exports;
/******/ 		}
/******/ 		// Create a new module (and put it into the cache)
/******/ 		var module = __webpack_module_cache__[moduleId] = {
/******/ 			id: moduleId,
/******/ 			loaded: false,
/******/ 			exports: {}
/******/ 		};
/******/ 	
/******/ 		// Execute the module function
/******/ 		var threw = true;
/******/ 		try {
/******/ 			__webpack_modules__[moduleId](module, module.exports, __nccwpck_require__);
/******/ 			threw = false;
/******/ 		} finally {
/******/ 			if(threw) delete __webpack_module_cache__[moduleId];
/******/ 		}
/******/ 	
/******/ 		// Flag the module as loaded
/******/ 		module.loaded = true;
/******/ 	
/******/ 		// Return the exports of the module
/******/ 		return module.exports;
/******/ 	}
/******/ 	
/******/ 	// expose the modules object (__webpack_modules__)
/******/ 	__nccwpck_require__.m = __webpack_modules__;
/******/ 	
/************************************************************************/
/******/ 	/* webpack/runtime/asset-relocator-loader */
/******/ 	if (typeof __nccwpck_require__ !== 'undefined') __nccwpck_require__.ab = __dirname + "/";
/******/ 	
/******/ 	/* webpack/runtime/compat get default export */
/******/ 	(() => {
/******/ 		// getDefaultExport function for compatibility with non-harmony modules
/******/ 		__nccwpck_require__.n = (module) => {
/******/ 			var getter = module && module.__esModule ?
/******/ 				() => (module['default']) :
/******/ 				() => (module);
/******/ 			__nccwpck_require__.d(getter, { a: getter });
/******/ 			return getter;
/******/ 		};
/******/ 	})();
/******/ 	
/******/ 	/* webpack/runtime/define property getters */
/******/ 	(() => {
/******/ 		// define getter functions for harmony exports
/******/ 		__nccwpck_require__.d = (exports, definition) => {
/******/ 			for(var key in definition) {
/******/ 				if(__nccwpck_require__.o(definition, key) && !__nccwpck_require__.o(exports, key)) {
/******/ 					Object.defineProperty(exports, key, { enumerable: true, get: definition[key] });
/******/ 				}
/******/ 			}
/******/ 		};
/******/ 	})();
/******/ 	
/******/ 	/* webpack/runtime/ensure chunk */
/******/ 	(() => {
/******/ 		__nccwpck_require__.f = {};
/******/ 		// This file contains only the entry chunk.
/******/ 		// The chunk loading function for additional chunks
/******/ 		__nccwpck_require__.e = (chunkId) => {
/******/ 			return Promise.all(Object.keys(__nccwpck_require__.f).reduce((promises, key) => {
/******/ 				__nccwpck_require__.f[key](chunkId, promises);
/******/ 				return promises;
/******/ 			}, []));
/******/ 		};
/******/ 	})();
/******/ 	
/******/ 	/* webpack/runtime/get javascript chunk filename */
/******/ 	(() => {
/******/ 		// This function allow to reference async chunks
/******/ 		__nccwpck_require__.u = (chunkId) => {
/******/ 			// return url for filenames based on template
/******/ 			return "" + chunkId + ".index.js";
/******/ 		};
/******/ 	})();
/******/ 	
/******/ 	/* webpack/runtime/hasOwnProperty shorthand */
/******/ 	(() => {
/******/ 		__nccwpck_require__.o = (obj, prop) => (Object.prototype.hasOwnProperty.call(obj, prop))
/******/ 	})();
/******/ 	
/******/ 	/* webpack/runtime/make namespace object */
/******/ 	(() => {
/******/ 		// define __esModule on exports
/******/ 		__nccwpck_require__.r = (exports) => {
/******/ 			if(typeof Symbol !== 'undefined' && Symbol.toStringTag) {
/******/ 				Object.defineProperty(exports, Symbol.toStringTag, { value: 'Module' });
/******/ 			}
/******/ 			Object.defineProperty(exports, '__esModule', { value: true });
/******/ 		};
/******/ 	})();
/******/ 	
/******/ 	/* webpack/runtime/node module decorator */
/******/ 	(() => {
/******/ 		__nccwpck_require__.nmd = (module) => {
/******/ 			module.paths = [];
/******/ 			if (!module.children) module.children = [];
/******/ 			return module;
/******/ 		};
/******/ 	})();
/******/ 	
/******/ 	/* webpack/runtime/require chunk loading */
/******/ 	(() => {
/******/ 		// no baseURI
/******/ 		
/******/ 		// object to store loaded chunks
/******/ 		// "1" means "loaded", otherwise not loaded yet
/******/ 		var installedChunks = {
/******/ 			792: 1
/******/ 		};
/******/ 		
/******/ 		// no on chunks loaded
/******/ 		
/******/ 		var installChunk = (chunk) => {
/******/ 			var moreModules = chunk.modules, chunkIds = chunk.ids, runtime = chunk.runtime;
/******/ 			for(var moduleId in moreModules) {
/******/ 				if(__nccwpck_require__.o(moreModules, moduleId)) {
/******/ 					__nccwpck_require__.m[moduleId] = moreModules[moduleId];
/******/ 				}
/******/ 			}
/******/ 			if(runtime) runtime(__nccwpck_require__);
/******/ 			for(var i = 0; i < chunkIds.length; i++)
/******/ 				installedChunks[chunkIds[i]] = 1;
/******/ 		
/******/ 		};
/******/ 		
/******/ 		// require() chunk loading for javascript
/******/ 		__nccwpck_require__.f.require = (chunkId, promises) => {
/******/ 			// "1" is the signal for "already loaded"
/******/ 			if(!installedChunks[chunkId]) {
/******/ 				if(true) { // all chunks have JS
/******/ 					installChunk(require("./" + __nccwpck_require__.u(chunkId)));
/******/ 				} else installedChunks[chunkId] = 1;
/******/ 			}
/******/ 		};
/******/ 		
/******/ 		// no external install chunk
/******/ 		
/******/ 		// no HMR
/******/ 		
/******/ 		// no HMR manifest
/******/ 	})();
/******/ 	
/************************************************************************/
var __webpack_exports__ = {};

// EXTERNAL MODULE: external "node:process"
var external_node_process_ = __nccwpck_require__(1708);
var external_node_process_default = /*#__PURE__*/__nccwpck_require__.n(external_node_process_);
// EXTERNAL MODULE: external "node:worker_threads"
var external_node_worker_threads_ = __nccwpck_require__(5919);
// EXTERNAL MODULE: ./src/failure.ts
var failure = __nccwpck_require__(1633);
;// CONCATENATED MODULE: ./src/release/source-thread.ts


/**
 * A thread that lists, reads and hashes the source folder while this one loads, connects and sends. The memory in which it
 * tells of what it read changes hands.
 */
class SourceThread {
    order;
    #entry;
    #worker;
    #ended;
    /** What was told before anybody listened. */
    #early = [];
    #hear = (news) => {
        this.#early.push(news);
    };
    /** `entry` is the script that it runs, which finds there that it is not the main thread, and the order as its data. */
    constructor(entry, order) {
        this.#entry = entry;
        this.order = order;
    }
    start() {
        if (this.#ended !== undefined)
            return;
        this.#ended = new Promise((_, reject) => {
            this.#worker = new external_node_worker_threads_.Worker(this.#entry, { workerData: this.order });
            // Until somebody listens it is nothing to wait for.
            this.#worker.unref();
            this.#worker.on('message', (news) => this.#hear(news));
            this.#worker.once('error', reject);
            this.#worker.once('exit', (code) => reject(new Error(`the thread that reads ended with ${code}`)));
        });
        this.#ended.catch(() => { });
    }
    /**
     * Listens to it, from its first news on. Never resolves, and rejects when the thread ends, which it does by itself after
     * the last news.
     */
    async read(hear) {
        this.start();
        this.#worker?.ref();
        for (const news of this.#early.splice(0))
            hear(news);
        this.#hear = hear;
        try {
            await this.#ended;
        }
        catch (error) {
            throw beyondLimits(error) ?? error;
        }
    }
    stop() {
        void this.#worker?.terminate();
    }
}
/** Of what this machine lacks; what else ends the thread is a defect. */
function beyondLimits(error) {
    const { code } = error;
    if (!['EAGAIN', 'ERR_WORKER_INIT_FAILED', 'ERR_WORKER_OUT_OF_MEMORY'].includes(code ?? ''))
        return undefined;
    return new failure/* Failure */.HR('the source folder cannot be read for lack of threads or memory', {
        seen: `${code}: ${(0,failure/* describeError */.Uc)(error)}`,
        state: 'the site on the server is as it was.',
        hint: 'look at the limits of the runner (`ulimit -a`, those of its container) and at what else runs there',
        cause: error,
    });
}

// EXTERNAL MODULE: ./src/runner/github-context.ts
var github_context = __nccwpck_require__(7569);
// EXTERNAL MODULE: ./src/runner/input-reader.ts
var input_reader = __nccwpck_require__(7344);
// EXTERNAL MODULE: ./src/actions/scp-static-upload/source-inputs.ts
var source_inputs = __nccwpck_require__(1242);
;// CONCATENATED MODULE: ./src/actions/scp-static-upload/index.ts






if (external_node_worker_threads_.isMainThread) {
    const reader = sourceThread();
    void Promise.all(/* import() */[__nccwpck_require__.e(6), __nccwpck_require__.e(624), __nccwpck_require__.e(656)]).then(__nccwpck_require__.bind(__nccwpck_require__, 656)).then(({ runUpload }) => runUpload(reader));
}
else {
    void Promise.all(/* import() */[__nccwpck_require__.e(6), __nccwpck_require__.e(830)]).then(__nccwpck_require__.bind(__nccwpck_require__, 9830)).then(({ carryOutOrder }) => carryOutOrder());
}
/** At work while the rest is loaded, which is also what checks the inputs and says what is wrong with them. */
function sourceThread() {
    const { env, argv } = (external_node_process_default());
    const read = new input_reader/* InputReader */.i((0,input_reader/* parseInputs */.T)(env['INPUTS']) ?? {}, () => { });
    const reader = new SourceThread(argv[1] ?? '', (0,source_inputs/* readSourceOrder */.c)(read, (0,github_context/* readGitHubContext */.L)(env).workspace));
    if (argv[2] !== 'settle' && read.text('source') !== '')
        reader.start();
    return reader;
}

module.exports = __webpack_exports__;
/******/ })()
;