"use strict";
exports.id = 656;
exports.ids = [656];
exports.modules = {

/***/ 656:
/***/ ((__unused_webpack_module, __webpack_exports__, __webpack_require__) => {

// ESM COMPAT FLAG
__webpack_require__.r(__webpack_exports__);

// EXPORTS
__webpack_require__.d(__webpack_exports__, {
  runUpload: () => (/* binding */ runUpload)
});

// EXTERNAL MODULE: ./src/context.ts
var src_context = __webpack_require__(788);
// EXTERNAL MODULE: ./src/failure.ts
var src_failure = __webpack_require__(1633);
// EXTERNAL MODULE: ./src/ssh/byte-string.ts
var byte_string = __webpack_require__(4990);
// EXTERNAL MODULE: ./src/release/site-state.ts
var site_state = __webpack_require__(1490);
;// CONCATENATED MODULE: ./src/release/deployment.ts




/** Runs work on all hosts at once and waits for all of them, so that nothing is left running. Throws as `allOf` does. */
async function onEach(hosts, work) {
    return allOf(await Promise.allSettled(hosts.map(work)));
}
/** What came of each host; throws one failure with all there were, each of which names its host. */
function allOf(results) {
    const errors = reasons(results);
    if (errors.length === 0)
        return results.map((one) => one.value);
    const [first] = errors;
    if (errors.length === 1)
        throw first;
    throw new src_failure/* Failure */.HR(`it failed on ${errors.length} of ${results.length} hosts`, {
        seen: errors.map((error) => `\n${(0,src_failure/* describeError */.Uc)(error)}`).join(''),
        cause: first,
        unsettled: errors.some((error) => error instanceof src_failure/* Failure */.HR && error.details.unsettled === true),
    });
}
const reasons = (results) => results.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []));
/**
 * Activates a release that is complete on every host: on all of them, or on none. After a failure or a cancel every
 * host goes back to where it was.
 */
async function activateOnAll(hosts, plan, context) {
    if (plan.done.finish)
        return context.log.info(`release ${plan.release} is active on ${names(hosts)}`);
    const env = { EVENKEEL_RELEASE: plan.release };
    if (plan.beforeActivate !== '') {
        const inTarget = hosts[0]?.mode === 'in-place';
        if (!inTarget)
            await onEach(hosts, (host) => host.noteAltered(plan.release));
        const cwd = inTarget ? plan.target : `${plan.target}/releases/${plan.release}`;
        await onEach(hosts, (host) => runHook(host, 'before-activate', plan.beforeActivate, cwd, env, context));
    }
    context.signal.throwIfAborted();
    try {
        const [only] = hosts;
        if (only !== undefined && hosts.length === 1 && plan.afterActivate === '' && !plan.checkHealth) {
            await only.activateAndConfirm(plan.release, plan.isNew, plan.keep);
            context.log.info(`release ${plan.release} is active on ${only.name}`);
            return;
        }
        if (!plan.done.activate)
            await onEach(hosts, (host) => host.activate(plan.release, plan.isNew));
        context.log.info(`release ${plan.release} is active on ${names(hosts)}`);
        if (plan.afterActivate !== '') {
            await onEach(hosts, (host) => runHook(host, 'after-activate', plan.afterActivate, plan.target, env, context));
        }
        const { checkHealth } = plan;
        if (checkHealth !== undefined)
            await onEach(hosts, (host) => checkHealth(host, context));
        context.signal.throwIfAborted();
    }
    catch (error) {
        throw withOutcome(error, await returnAll(hosts, context));
    }
    await finishAll(hosts, plan);
}
/** Of several, those that have confirmed it cannot go back: what is left is for the settle step, which sees them all. */
async function finishAll(hosts, { release, keep, checkHealth }) {
    const results = await Promise.allSettled(hosts.map((host) => host.finish(release, keep)));
    const open = hosts.filter((_, index) => results[index]?.status === 'rejected');
    if (open.length === 0)
        return;
    const found = checkHealth === undefined ? '' : ' and was found healthy';
    throw new src_failure/* Failure */.HR(`release ${release} could not be confirmed`, {
        host: names(open),
        seen: reasons(results).map(src_failure/* describeError */.Uc).join('\n'),
        state: `the release is active${found} on ${names(hosts)}; on ${names(open)} it is not known to be confirmed: the settle step confirms it where another host has, and goes back otherwise.`,
        hint: 'see in the log of the settle step what is served now, then run the job again',
        unsettled: true,
    });
}
/**
 * How far staging may go in its last round trip: a lone host without a hook in between is activated at once, and
 * without anything to look at afterwards it is done.
 */
function endingOf(hosts, plan) {
    const activate = hosts === 1 && plan.beforeActivate === '';
    return { activate, finish: activate && plan.afterActivate === '' && !plan.hasCheck, keep: plan.keep };
}
/** Where nothing was done yet. */
const nothingDone = { activate: false, finish: false };
/** Takes every host back to where it was. */
async function returnAll(hosts, context) {
    const results = await Promise.allSettled(hosts.map((host) => host.goBack()));
    const states = results.map((result, index) => {
        const host = hosts[index];
        if (result.status === 'fulfilled')
            return `${host?.name} serves ${served(host?.current ?? '')}`;
        context.log.warn(`${host?.name}: could not go back: ${(0,src_failure/* describeError */.Uc)(result.reason)}`);
        return `${host?.name} could not be taken back and may serve the new release; the settle step tries again`;
    });
    return { state: states.join('; '), complete: results.every(({ status }) => status === 'fulfilled') };
}
/** What a link `current` means to people. */
function served(link) {
    if (link === '')
        return 'nothing (there is no release before this one)';
    return `release ${(0,site_state/* releaseOf */.l7)(link) ?? (0,byte_string/* fromByteString */.q)(link)}`;
}
/** A failure that also tells how things stand after it. */
function withOutcome(error, { state, complete }) {
    if (!(error instanceof src_failure/* Failure */.HR))
        return error;
    const Kind = error.constructor;
    return new Kind(error.message, { ...error.details, state, unsettled: !complete });
}
async function runHook(host, name, command, cwd, env, { log, signal }) {
    const lines = (0,src_context/* prefixedLog */.Qc)(log, `${host.name} ${name}`);
    const result = await host.connection.script(command, { cwd, env, signal, onLine: lines.info });
    if (result.code === 0)
        return;
    const output = (result.stderr.trim() || result.stdout.trim()).split('\n').slice(-5).join('; ');
    throw new src_failure/* Failure */.HR(`the command of \`${name}\` ${result.signal === undefined ? `ended with exit code ${result.code}` : `was killed by ${result.signal}`}`, { host: host.name, seen: output, state: 'the site is as it was.', hint: 'see its output above' });
}
function names(hosts) {
    return hosts.map(({ name }) => name).join(', ');
}

// EXTERNAL MODULE: ./src/release/glob.ts
var glob = __webpack_require__(6015);
// EXTERNAL MODULE: external "node:crypto"
var external_node_crypto_ = __webpack_require__(7598);
;// CONCATENATED MODULE: ./src/ssh/record-parser.ts
const KEEP_NOISE = 64 * 1024;
/** Splits a shell's output into records, frames of bytes, and the rest. */
class RecordParser {
    #mark;
    #sinks;
    #pending = Buffer.alloc(0);
    #frame;
    noise = '';
    constructor(mark, sinks) {
        this.#mark = `${mark} `;
        this.#sinks = sinks;
    }
    push(chunk) {
        let rest = this.#pending.length > 0 ? Buffer.concat([this.#pending, chunk]) : chunk;
        this.#pending = Buffer.alloc(0);
        for (;;) {
            if (this.#frame !== undefined) {
                rest = this.#fill(this.#frame, rest);
                if (this.#frame !== undefined)
                    return;
            }
            const end = rest.indexOf(10);
            if (end < 0) {
                this.#pending = rest;
                return;
            }
            this.#line(rest.subarray(0, end).toString('latin1'));
            rest = rest.subarray(end + 1);
        }
    }
    end() {
        this.noise += this.#pending.toString('latin1');
        this.#sinks.onGone();
    }
    #fill(frame, from) {
        const part = from.subarray(0, frame.bytes - frame.have);
        frame.chunks.push(part);
        frame.have += part.length;
        if (frame.have === frame.bytes) {
            this.#frame = undefined;
            this.#sinks.onData(frame.name, Buffer.concat(frame.chunks));
        }
        return from.subarray(part.length);
    }
    #line(line) {
        // Output that does not end in a newline stands before the mark.
        const at = line.indexOf(this.#mark);
        if (at < 0) {
            this.noise = `${this.noise}${line}\n`.slice(-KEEP_NOISE);
            return;
        }
        this.noise += line.slice(0, at);
        const record = line.slice(at + this.#mark.length);
        const space = record.indexOf(' ');
        const name = space < 0 ? record : record.slice(0, space);
        const value = space < 0 ? '' : record.slice(space + 1);
        const frame = name === 'data' ? /^(\S+) (\d+)$/.exec(value) : null;
        if (frame?.[1] === undefined)
            this.#sinks.onRecord(name, value);
        else
            this.#frame = { name: frame[1], bytes: Number(frame[2]), chunks: [], have: 0 };
    }
}

// EXTERNAL MODULE: ./src/ssh/quote.ts
var quote = __webpack_require__(9038);
;// CONCATENATED MODULE: ./src/ssh/remote-script.ts

/** Constant, so that it means the same to every login shell and shows nothing in the process list. */
const READ_AND_RUN = `exec sh -c 'eval "$(cat)"'`;
/** The command to execute and the text for its standard input. Pure. */
function remoteScript(text, { cwd, env = {} }) {
    const lines = ['set -e', 'exec </dev/null'];
    for (const [name, value] of Object.entries(env))
        lines.push(`export ${shellName(name)}=${(0,quote/* quote */.h)(value)}`);
    // `--` and CDPATH: a directory that begins with a dash, or is relative, means itself.
    if (cwd !== undefined)
        lines.push(`CDPATH= cd -- ${(0,quote/* quote */.h)(cwd)}`);
    return { command: READ_AND_RUN, stdin: `${lines.join('\n')}\n${text}\n` };
}
/**
 * A command that holds its script: it needs no input, which saves a round trip, but the process list shows it, so that
 * nothing secret may be in it. Encoded so that it means the same to every login shell. Pure.
 */
function openScript(text) {
    const bytes = Buffer.from(`set -e\nexec </dev/null\n${text}`, 'utf8');
    return `exec sh -c 'eval "$(printf %b "$1")"' sh ${encodedForPrintf(bytes)}`;
}
/** A word that means the same to every login shell, and these bytes to the %b of printf. Pure. */
function encodedForPrintf(bytes) {
    const encoded = Array.from(bytes, (byte) => {
        const character = String.fromCharCode(byte);
        // Between single quotes, a backslash means something to fish, an exclamation mark and a newline to csh.
        if (/[ -~]/.test(character) && !/['\\!]/.test(character))
            return character;
        return character === '\n' ? '\\n' : `\\0${byte.toString(8).padStart(3, '0')}`;
    });
    return `'${encoded.join('')}'`;
}
function shellName(name) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
        throw new TypeError(`'${name}' is not an environment variable name`);
    return name;
}

;// CONCATENATED MODULE: ./src/ssh/remote-shell.ts






/**
 * Collects lines that begin with `+`; `.` runs them with an empty standard input, `<` runs them with what follows as
 * standard input and ends. A script that arrives in part is never run. The text is constant: it means the same to
 * every login shell and shows nothing in the process list. `read` takes single bytes, so nothing is read too far.
 * A newline is the third character of IFS, which no shell takes from its environment (POSIX, 2.5.3).
 */
const SHELL_COMMAND = shellCommand('', '');
function shellCommand(first, words) {
    const setup = `LC_ALL=C; export LC_ALL; n=\${IFS#??}; s=;${first}`;
    const loop = `while IFS= read -r l; do case $l in +*) s=$s\${l#+}$n;; .) eval "$s" </dev/null; s=;; "<") eval "$s"; exit;; esac; done`;
    return `exec sh -c '${setup} ${loop}'${words}`;
}
const remote_shell_KEEP_NOISE = 64 * 1024;
const NO_SHELL_HINT = 'give the deploy user a shell, or SFTP (`Subsystem sftp` in the sshd_config)';
/** The login runs no commands: it may still have SFTP. Nothing was done on the server. */
class NoShell extends src_failure/* Failure */.HR {
}
/**
 * The first block of a shell, in the command that starts it: it need not wait for a round trip until a channel takes data.
 * The process list shows it, so that nothing secret may be in it.
 */
class OpeningBlock {
    mark = newMark();
    text;
    command;
    constructor(block) {
        this.text = blockText(block);
        const bytes = Buffer.from(`${definitions(this.mark)}\n${this.text}`, 'latin1');
        this.command = shellCommand(' eval "$(printf %b "$1")" </dev/null;', ` sh ${encodedForPrintf(bytes)}`);
    }
}
const newMark = () => (0,external_node_crypto_.randomBytes)(12).toString('hex');
const definitions = (mark) => `mark=${mark}
say() { printf '%s %s\\n' "$mark" "$*"; }
send() { printf '%s data %s %s\\n' "$mark" "$1" "$(($(wc -c <"$2")))"; cat <"$2"; }`;
function blockText({ code, prelude = '', sequel }) {
    const after = sequel === undefined ? [] : [`if [ "$code" = 0 ]; then ${sequel}; fi`];
    return [prelude, '(', 'set -e', code, ') 2>&1', 'code=$?', ...after, 'say "end $code"'].join('\n');
}
/** Nothing to a shell that collects lines; an SFTP server that runs in its place takes it for a packet, and ends. */
const NO_INPUT = '\n'.repeat(8);
/**
 * A POSIX shell on the server that stays open over several blocks of code, so that what it holds (a lock) lasts from
 * one block to the next and goes with the connection. Records are told from other output by a random mark.
 */
class RemoteShell {
    /** Random, of this shell alone; `$mark` there. */
    mark;
    #channel;
    #connection;
    #parser;
    #opening;
    /** What came before anybody asked for it. */
    #early = [];
    #ended;
    #queue = Promise.resolve();
    #stderr = '';
    #closed = false;
    /** Whether the shell has ever answered, and the exit code of its command. */
    #hasAnswered = false;
    #exitCode;
    constructor(connection, { channel, ended }, opening) {
        this.mark = opening?.mark ?? newMark();
        this.#connection = connection;
        this.#channel = channel;
        this.#opening = opening;
        channel.on('data', (chunk) => {
            if (this.#parser !== undefined)
                this.#parser.push(chunk);
            else if (this.#opening !== undefined)
                this.#early.push(chunk);
        });
        channel.stderr.on('data', (chunk) => {
            this.#stderr = (this.#stderr + chunk.toString('latin1')).slice(-remote_shell_KEEP_NOISE);
        });
        // A broken connection also ends the channel: `close` is where that is told.
        channel.on('error', () => { });
        this.#ended = ended.then(({ code }) => {
            this.#exitCode = code;
        }, () => { });
        void this.#ended.then(() => {
            this.#closed = true;
            this.#parser?.end();
        });
        if (opening === undefined)
            this.define(definitions(this.mark));
        else
            channel.write(NO_INPUT);
    }
    /** With `opening`, the first block that is run must be that one. */
    static async open(connection, opening) {
        try {
            const command = opening?.command ?? SHELL_COMMAND;
            return new RemoteShell(connection, await connection.start(command), opening);
        }
        catch (error) {
            if (!(error instanceof src_failure/* Failure */.HR) || !connection.isOpen)
                throw error;
            throw new NoShell(error.message, { ...error.details, hint: NO_SHELL_HINT });
        }
    }
    /**
     * Runs a block in a subshell with `set -e` and resolves with its exit code. Rejects when the connection or the
     * shell ends before the block's own end line has come: then it is not known how far it got.
     */
    run(block, options = {}) {
        const turn = this.#queue.then(() => this.#runNow(blockText(block), options));
        this.#queue = turn.catch(() => { });
        return options.signal === undefined ? turn : (0,src_context/* unlessAborted */.Wh)(turn, options.signal);
    }
    /** Code for the shell itself (functions) that it reads when it has nothing else to do; the blocks from then on have it. */
    define(code) {
        if (!this.#closed)
            this.#send(code);
    }
    /** Lets the shell come to its end, after what it is at; what it holds is released. Resolves when it has gone. */
    async close() {
        await this.#queue;
        if (this.#closed)
            return;
        this.#channel.end();
        await this.#ended;
    }
    #runNow(text, { onRecord, onData }) {
        return new Promise((resolve, reject) => {
            if (this.#closed && this.#opening === undefined)
                return reject(this.#gone());
            this.#parser = new RecordParser(this.mark, {
                onRecord: (name, value) => {
                    this.#hasAnswered = true;
                    if (name !== 'end') {
                        onRecord?.(name, value);
                        return;
                    }
                    const noise = this.#parser?.noise ?? '';
                    this.#parser = undefined;
                    resolve({ code: Number(value), noise });
                },
                onData: (name, bytes) => onData?.(name, bytes),
                onGone: () => reject(this.#gone()),
            });
            if (this.#opening === undefined) {
                this.#send(text);
                this.#channel.write('.\n');
                return;
            }
            if (this.#opening.text !== text)
                throw new TypeError('the shell was opened with another block');
            this.#opening = undefined;
            for (const chunk of this.#early.splice(0))
                this.#parser?.push(chunk);
            if (this.#closed)
                this.#parser?.end();
        });
    }
    #send(text) {
        const lines = text.split('\n');
        this.#channel.write(Buffer.from(lines.map((line) => `+${line}\n`).join(''), 'latin1'));
    }
    #gone() {
        const said = (0,byte_string/* fromByteString */.q)(this.#stderr || this.#parser?.noise || '').trim();
        if (!this.#hasAnswered && this.#exitCode !== undefined) {
            return new NoShell('the server runs no commands for this user', {
                host: this.#connection.name,
                seen: said || `exit code ${this.#exitCode}`,
                hint: NO_SHELL_HINT,
            });
        }
        return new src_failure/* Failure */.HR('the connection or the remote shell ended in the middle of its work', {
            host: this.#connection.name,
            seen: said || 'no answer',
            hint: 'run the job again: it looks at the state of the server first',
        });
    }
}
/** A remote process that waits for a script and what the script reads. */
const openLane = (connection) => connection.start(SHELL_COMMAND);
/** The same over a connection of its own: one alone fills no long fat path. */
const openLaneApart = (connection) => connection.startApart(SHELL_COMMAND, 'is far away, and much is to be sent');
/** Runs a script with chunks as its standard input (see `feed`); resolves with its exit code and what it printed. */
async function pipeToScript(host, { channel, ended }, code, input, signal) {
    let noise = '';
    const keep = (chunk) => {
        noise = (noise + chunk.toString('latin1')).slice(-remote_shell_KEEP_NOISE);
    };
    channel.on('data', keep);
    channel.stderr.on('data', keep);
    const lines = code.split('\n').map((line) => `+${line}\n`);
    channel.write(Buffer.from(`${lines.join('')}<\n`, 'latin1'));
    let broken;
    // A channel that has closed takes nothing, and says nothing of it.
    const over = new AbortController();
    const gone = () => over.abort(new Error('the channel was closed'));
    ended.then(gone, gone);
    const stop = AbortSignal.any([signal, over.signal]);
    try {
        // Not only between two chunks: the next one may take its time.
        await (0,src_context/* unlessAborted */.Wh)(feed(channel, input, stop), stop);
    }
    catch (error) {
        if (!over.signal.aborted) {
            channel.close();
            throw signal.aborted ? (0,src_context/* cancelled */.KW)(signal) : error;
        }
        broken = over.signal.reason;
    }
    // A remote process that ends early closes the pipe: its own words tell more than that.
    const status = await (0,src_context/* unlessAborted */.Wh)(ended, signal);
    if (status.code !== undefined && (status.code !== 0 || broken === undefined)) {
        return { code: status.code, noise };
    }
    throw new src_failure/* Failure */.HR('the transfer was cut off', {
        host,
        seen: status.signal === undefined ? (0,src_failure/* describeError */.Uc)(broken) : `killed by ${status.signal}`,
        hint: 'run the job again: what has arrived is not sent a second time',
        cause: broken,
    });
}
/** Writes chunks and ends the stream. The next one is asked for while one is being taken, the next but one not. */
async function feed(stream, chunks, signal) {
    let fail = (_error) => { };
    const abort = () => fail(signal.reason);
    signal.addEventListener('abort', abort);
    stream.on('error', (error) => fail(error));
    const write = (chunk) => new Promise((resolve, reject) => {
        if (signal.aborted)
            return reject(signal.reason);
        fail = reject;
        stream.write(chunk, (error) => (error ? reject(error) : resolve()));
    });
    try {
        let taken = Promise.resolve();
        for await (const chunk of chunks) {
            await taken;
            taken = write(chunk);
            taken.catch(() => { });
        }
        await taken;
        stream.end();
    }
    finally {
        signal.removeEventListener('abort', abort);
    }
}

// EXTERNAL MODULE: ./src/release/archive.ts + 1 modules
var archive = __webpack_require__(8553);
// EXTERNAL MODULE: ./src/release/in-place.ts
var in_place = __webpack_require__(6119);
// EXTERNAL MODULE: ./src/release/manifest.ts
var manifest = __webpack_require__(4776);
// EXTERNAL MODULE: ./src/release/site-host.ts
var site_host = __webpack_require__(9425);
;// CONCATENATED MODULE: ./src/ssh/compact-script.ts
/**
 * A shell script of ours without comment lines, empty lines and indentation, which a remote shell would read byte by
 * byte. Only for constant code in which no quoted text and no here-document goes over several lines. Pure.
 */
function compactScript(script) {
    return script
        .split('\n')
        .map((line) => line.trimStart())
        .filter((line) => line !== '' && !line.startsWith('#'))
        .join('\n');
}

;// CONCATENATED MODULE: ./src/release/in-place-code.ts
// Files straight in the served folder. On the server:
//
// <root>/                      the site, and whatever else lies there
// <root>/.evenkeel/            ours, closed to others, on the same file system as the site:
//   lock, holder, beat         who works here
//   staging/<id>+<mark>/tree   files that are not in their place yet
//   next/                      an upload that arrived whole: tree, keep.sh, put.sh, gone.sh, restore.sh, manifest.gz, content
//   back/                      what `next` replaces, by hard links, until it is confirmed
//   site/                      what our last confirmed upload put there: release, content, manifest.gz
//   pending, undoing           `next` is being put in place and not confirmed; it is being taken back
//   confirmed, site.new        it stands, and the list of what lies there gives way to the new one
// The scripts in `next` call the functions in the middle of both parts.
const BEGIN = `
next=$state/next
back=$state/back
real_root=

# There are none beside each other.
list_releases() { :; }

# The release that is confirmed here.
find_placed() {
  look "$state/site/release"
  placed=$one
}

# What is left to do of a confirmation, which may be one that was broken off.
finish_confirm() {
  if ! [ -f "$state/confirmed" ]; then return 0; fi
  if [ -d "$state/site.new" ]; then
    set --
    for left in "$state/site" "$next" "$back"; do
      if [ -d "$left" ]; then set -- "$@" "$left"; fi
    done
    mkdir -p "$state/trash/$mark"
    if [ $# -gt 0 ]; then mv "$@" "$state/trash/$mark/"; fi
    mv "$state/site.new" "$state/site"
  fi
  rm -f "$state/confirmed"
}

describe() {
  if [ -z "$dry" ]; then finish_confirm; fi
  find_placed
  say "current \${placed:+releases/$placed}"
  if [ -n "$placed" ]; then
    look "$state/site/content"
    say "release $placed $one good"
  fi
  if [ -f "$state/pending" ]; then
    look "$state/pending"
    say "pending $one \${placed:+releases/$placed}"
  fi
  describe_server
}

claim() {
  find_placed
  if [ "$placed" = "$release" ]; then return 0; fi
  lists=
  if [ -n "$dry" ]; then
    if [ -n "$full" ]; then lists=$(mktemp -d); fi
  else
    stage=$state/staging/$release+$mark
    lists=$stage
    # What a dead run left half in place would be taken for the site.
    go_back
    take_up
  fi
  if [ -f "$state/site/manifest.gz" ]; then send manifest "$state/site/manifest.gz"; fi
  if [ -n "$full" ] && [ -d "$root" ]; then
    inventory "$root" "$lists" "$full" || no_inventory "$root"
    (cd "$root" && find . -path ./.evenkeel -prune -o -type l -print0) >"$lists/links"
    send_inventory "$lists"
    send links "$lists/links"
  fi
  if [ -n "$dry" ] && [ -n "$full" ]; then rm -rf "$lists"; fi
  say 'base place'
}

# Whatever an earlier attempt at this release has brought is in the new one's folder from the start.
take_up() {
  old=
  look "$next/release"
  if [ "$one" = "$release" ] && [ -d "$next/tree" ]; then old=$next; fi
  for folder in "$state/staging/$release+"*; do
    if [ -d "$folder/tree" ]; then old=$folder; fi
  done
  mkdir "$stage"
  if [ -n "$old" ] && drop_specials "$old/tree" && mv "$old/tree" "$stage/" && inventory "$stage/tree" "$stage"; then
    for list in folders names hashes modes; do send "arrived-$list" "$stage/$list"; done
  else
    if [ -e "$stage/tree" ]; then rm -rf "$stage/tree"; fi
    mkdir "$stage/tree"
  fi
  for folder in "$state/staging/$release+"*; do
    if [ "$folder" != "$stage" ]; then rm -rf "$folder"; fi
  done
}

# Enters a folder of the site, but never one that a link has put elsewhere.
enter() {
  cd -P -- "$real_root/$1" || fail "'$1' cannot be entered"
  case $PWD/ in
    "$real_root"/*) ;;
    *) fail "'$1' leads out of the folder of the site" ;;
  esac
}

# Mode, the folder that it lies in, its name.
folder() {
  enter "$2"
  if [ -L "$3" ]; then fail "'$2/$3' is a symbolic link there, where the site has a folder"; fi
  if ! [ -d "$3" ]; then
    mkdir -- "./$3"
    if [ -n "$owner" ]; then chown -- "$owner" "./$3"; fi
  fi
  chmod "$1" "./$3"
}

# A folder goes when nothing is left in it.
no_folder() {
  if ! [ -d "$real_root/$1" ]; then return 0; fi
  enter "$1"
  if [ -L "./$2" ] || ! [ -d "./$2" ]; then return 0; fi
  rmdir -- "./$2" 2>/dev/null || :
}

gone() {
  if ! [ -d "$real_root/$1" ]; then return 0; fi
  enter "$1"
  from=$back/$1
  shift
  for name do
    shift
    if [ -f "$from/$name" ] || [ -L "$from/$name" ] || [ -d "$name" ] && ! [ -L "$name" ]; then continue; fi
    set -- "$@" "./$name"
  done
  if [ $# -gt 0 ]; then rm -f -- "$@"; fi
}

# Two names of one file, which mv will not move onto each other: what was to replace it has not come yet.
is_same() {
  if [ -L "$1" ]; then
    [ -L "$2" ] && [ "$(readlink "$1")" = "$(readlink "$2")" ]
  else
    [ -f "$1" ] && ! [ -L "$2" ] && [ "$1" -ef "$2" ]
  fi
}

restore() {
  if ! [ -d "$back/$1" ]; then return 0; fi
  enter "$1"
  from=$back/$1
  shift
  for name do
    shift
    if is_same "$from/$name" "./$name"; then
      rm -f -- "$from/$name"
    elif [ -f "$from/$name" ] || [ -L "$from/$name" ]; then
      set -- "$@" "$from/$name"
    fi
  done
  if [ $# -gt 0 ]; then mv -f -- "$@" .; fi
}

run_script() {
  [ -n "$real_root" ] || real_root=$(cd -P -- "$root" && pwd -P)
  look "$next/owner"
  owner=$one
  . "$next/$1"
}

go_back() {
  if [ -f "$state/pending" ]; then
    if ! [ -f "$state/undoing" ]; then
      run_script gone.sh
      : >"$state/undoing"
    fi
    run_script restore.sh
    if [ -n "$(find "$back" ! -type d | sed -n 1p)" ]; then fail 'not everything could be put back in its place'; fi
    rm -f "$state/pending" "$state/undoing"
    rm -rf "$next" "$back"
  fi
  find_placed
  say "current \${placed:+releases/$placed}"
}
`;
const REST = String.raw `
verify() {
  stage=$state/staging/$release+$mark
  cd "$stage/tree"
  join_parts
  verify_sent
}

publish() {
  cd "$root"
  if [ -n "$owner" ]; then chown -hR -- "$owner" "$stage/tree"; fi
  printf '%s\n' "$release" >"$stage/release"
  printf '%s\n' "$content" >"$stage/content"
  printf '%s\n' "$owner" >"$stage/owner"
  if [ -e "$next" ] || [ -e "$back" ]; then rm -rf "$next" "$back"; fi
  mv "$stage" "$next"
}

# What arrived whole goes as well, unless it is being put in place.
give_up() {
  discard
  if ! [ -f "$state/pending" ]; then rm -rf "$next" "$back"; fi
}

keep() {
  if ! [ -d "$real_root/$1" ]; then return 0; fi
  enter "$1"
  into=$back/$1
  shift
  for name do
    shift
    if [ -f "$name" ] || [ -L "$name" ]; then set -- "$@" "./$name"; fi
  done
  if [ $# -eq 0 ]; then return 0; fi
  mkdir -p -- "$into"
  if cp -al -- "$@" "$into/" 2>/dev/null; then return 0; fi
  (cd "$into" && rm -f -- "$@") && cp -a -- "$@" "$into/"
}

put() {
  enter "$1"
  from=$next/tree/$1
  shift
  for name do
    shift
    if [ -d "$name" ] && ! [ -L "$name" ]; then fail "'$name' is a folder there, where the site has a file"; fi
    set -- "$@" "$from/$name"
  done
  mv -f -- "$@" .
}

drop() {
  if ! [ -d "$real_root/$1" ]; then return 0; fi
  enter "$1"
  shift
  for name do
    shift
    set -- "$@" "./$name"
  done
  rm -f -- "$@"
}

activate() {
  if ! [ -d "$next" ]; then
    # Confirmed here by an earlier run, while another host had yet to follow.
    find_placed
    [ "$placed" = "$release" ] || fail "release $release is not there"
    say "current releases/$release"
    return 0
  fi
  mkdir -p "$back"
  run_script keep.sh
  if [ -e "$state/undoing" ]; then rm -f "$state/undoing"; fi
  printf '%s\n' "$release" >"$state/pending.new"
  mv -f "$state/pending.new" "$state/pending"
  run_script put.sh
  say "current releases/$release"
}

confirm() {
  if ! [ -f "$state/pending" ]; then return 0; fi
  if [ -d "$state/site.new" ]; then rm -rf "$state/site.new"; fi
  mkdir "$state/site.new"
  cp "$next/manifest.gz" "$next/content" "$next/release" "$state/site.new/"
  # From here on it stands.
  mv -f "$state/pending" "$state/confirmed"
  finish_confirm
}

prune() {
  set --
  for left in "$next" "$back" "$state/staging"/*+* "$state/trash"/*; do
    if [ "$left" = "$state/trash/$mark" ]; then continue; fi
    if [ -e "$left" ]; then set -- "$@" "$left"; fi
  done
  if [ $# -eq 0 ]; then return 0; fi
  mkdir -p "$state/trash/$mark"
  mv "$@" "$state/trash/$mark/" 2>/dev/null || :
}
`;
/** Functions on top of `COMMON_CODE`. */
const IN_PLACE_CODE = { begin: BEGIN, rest: REST };

;// CONCATENATED MODULE: ./src/release/assets-code.ts

/** With the folder and the notes of the release that comes, and paths. Without a single quote: it is quoted below. */
const HAND_ON = compactScript(`
  to=$1
  meta=$2
  shift 2
  code=0
  for path do
    folder=$to
    rest=$path
    while [ "$rest" != "\${rest#*/}" ]; do
      folder=$folder/\${rest%%/*}
      rest=\${rest#*/}
      if [ -L "$folder" ]; then continue 2; fi
    done
    if [ -e "$to/$path" ] || [ -L "$to/$path" ] || ! [ -f "$path" ]; then continue; fi
    # One that goes in its turn hands it on.
    true >"$meta/altered" && printf "%s\\0" "$path" >>"$meta/assets" && { [ -d "$folder" ] || mkdir -p -- "$folder"; } &&
      { ln -- "$path" "$to/$path" 2>/dev/null || cp -p -- "$path" "$to/$path"; } || code=1
  done
  exit $code
`);
/**
 * A function for releases-code.ts: what `keep-assets` picked of the release that goes stays reachable in an older one
 * that comes back.
 */
const KEEP_REACHABLE = `
# A page of the release that goes (its id first) may name what only that one has.
keep_reachable() {
  assets=$state/meta/$1/assets
  to=$root/releases/$2
  if [ -z "$2" ] || [ "$1" = "$2" ] || ! [ -s "$assets" ] || ! [ -d "$to" ]; then return 0; fi
  # Nothing is written through a link: it may lead anywhere.
  (cd "$root/releases/$1" && xargs -0 sh -c '${HAND_ON}' keep "$to" "$state/meta/$2" <"$assets") || say unreachable
}
`;

;// CONCATENATED MODULE: ./src/release/releases-code.ts

// Releases beside each other, the served one named by a link. On the server:
//
// <root>/current                  -> releases/<id>, swapped by one rename
// <root>/releases/<id>            complete and verified releases
// <root>/releases/.evenkeel/      ours, closed to others, on the same file system as the releases:
//   lock, holder, beat            who works here; the kernel frees the lock with its process
//   staging/<id>+<mark>/tree      a release that is not complete yet; `filling` until all of its base is there
//   meta/<id>/                    content (its identity), manifest.gz, before (what it replaced), good or failed,
//                                 assets (what `keep-assets` picks of it), altered (its files may be others than
//                                 manifest.gz says: by commands of the user, or by assets of one gone back from)
//   pending                       an activation that is not confirmed yet: its release, and where to go back to; none
//                                 where nothing is to be looked at after the swap
const releases_code_BEGIN = `
# The text of the link, '' where there is none.
link=
at_once=
read_link() {
  link=
  if [ -L "$root/current" ]; then link=$(readlink "$root/current") || :; fi
}

# The release that a link names.
id_of() {
  id=
  case $1 in releases/*/*) ;; releases/?*) id=\${1#releases/} ;; esac
}

# Newest first. Once, when the lock has been taken: from then on nobody else makes or removes one.
releases=
list_releases() {
  releases=
  set -- "$state"/meta/*/content
  if ! [ -e "$1" ]; then return 0; fi
  for noted in $(cd "$state/meta" && ls -1t -- */content); do
    id=\${noted%/content}
    if [ -d "$root/releases/$id" ]; then releases="$releases $id"; fi
  done
}

describe() {
  if [ -e "$root/current" ] && ! [ -L "$root/current" ]; then
    fail "'current' in $root is not a symbolic link"
  fi
  read_link
  say "current $link"
  if [ -f "$state/pending" ]; then
    look "$state/pending"
    say "pending $one $two"
  fi
  if [ -n "$dry" ]; then list_releases; fi
  for id in $releases; do
    mark_of=new
    if [ -f "$state/meta/$id/failed" ]; then mark_of=failed; fi
    if [ -f "$state/meta/$id/good" ]; then mark_of=good; fi
    look "$state/meta/$id/content"
    known=$one
    look "$state/meta/$id/before"
    say "release $id $known $mark_of $one"
  done
  describe_server
}

copy_base() {
  if cp -al "$base/." "$stage/filling/" 2>"$stage/problem"; then return 0; fi
  say "copied $(tail -n 1 "$stage/problem")"
  rm -rf "$stage/filling"
  mkdir "$stage/filling"
  if cp -a "$base/." "$stage/filling/"; then return 0; fi
  rm -rf "$stage"
  fail 'the release before could not be copied'
}

# What the next run finds of it is whole.
fill() {
  if [ -n "$base" ]; then copy_base; fi
  if [ -n "$full" ]; then drop_specials "$stage/filling"; fi
  mv "$stage/filling" "$stage/tree"
}

# After describe: by the link that it found.
send_base() {
  base=
  id_of "$link"
  if [ -z "$id" ]; then
    set -- $releases
    id=$1
  fi
  if [ -n "$id" ] && [ -f "$state/meta/$id/manifest.gz" ] && [ -d "$root/releases/$id" ]; then
    base=$root/releases/$id
    send manifest "$state/meta/$id/manifest.gz"
    say "stored $id"
    if [ -f "$state/meta/$id/altered" ]; then
      full=yes
      if [ -s "$state/meta/$id/assets" ]; then send assets "$state/meta/$id/assets"; fi
    fi
  fi
  if [ -n "$old" ] && drop_specials "$old/tree" && inventory "$old/tree" "$old"; then
    send_inventory "$old"
    base=$old/tree
    say 'base staging'
  elif [ -z "$base" ]; then
    say 'base none'
  elif [ -z "$full" ]; then
    say 'base release'
  else
    lists=$stage
    [ -n "$lists" ] || lists=$(mktemp -d)
    inventory "$base" "$lists" || no_inventory "$base"
    send_inventory "$lists"
    [ -n "$stage" ] || rm -rf "$lists"
    say 'base hashed'
  fi
}

claim() {
  stage=
  if [ -d "$root/releases/$release" ] && [ -f "$state/meta/$release/content" ]; then
    # What was left of it by a run that ended before its own end.
    if [ -z "$dry" ]; then clear_stages; fi
    return 0
  fi
  if [ -e "$root/releases/$release" ]; then fail "releases/$release is there, but not from an upload of this action"; fi
  old=
  for folder in "$state/staging/$release+"*; do
    if [ -d "$folder/tree" ]; then old=$folder; fi
  done
  if [ -n "$dry" ]; then
    old=
    send_base
    return 0
  fi
  stage=$state/staging/$release+$mark
  into=tree
  if [ -n "$old$releases" ]; then into=filling; fi
  mkdir "$stage" "$stage/meta" "$stage/$into"
  send_base
  if [ "$into" = filling ]; then fill; fi
  clear_stages
}

# Of this release, other than its own.
clear_stages() {
  for folder in "$state/staging/$release+"*; do
    if [ -e "$folder" ] && [ "$folder" != "$stage" ]; then rm -rf "$folder"; fi
  done
}
`;
const releases_code_REST = String.raw `
file_sizes() {
  # Not every find can print. What it cannot read is missing from the totals.
  if find . -type f -printf '%s\n' 2>/dev/null; then return 0; fi
  if [ -n "$(find . -type f | sed -n 1p)" ]; then find . -type f -print0 | xargs -0 stat -c %s --; fi
}

verify() {
  stage=$state/staging/$release+$mark
  cd "$stage/tree"
  if [ -s ../remove ]; then xargs -0 rm -f -- <../remove; fi
  if [ -s ../rmdirs ]; then xargs -0 rmdir -- <../rmdirs; fi
  join_parts
  # Beside the hashing, whose pace counts.
  { chmod "$root_mode" . && file_sizes | awk '{n++; s += $1} END {printf "%d %.0f\n", n, s}' >../totals; } &
  verify_sent
  wait
  look ../totals
  [ "$one" = "$want_totals" ] || fail "the release has (files, bytes) $one instead of $want_totals"
}

publish() {
  cd "$root"
  if [ -n "$owner" ]; then chown -hR -- "$owner" "$stage/tree"; fi
  meta=$state/meta/$release
  if [ -e "$meta" ]; then rm -rf "$meta"; fi
  printf '%s\n' "$content" >"$stage/meta/content"
  mv "$stage/meta" "$meta"
  mv "$stage/tree" "$root/releases/$release"
}

give_up() { discard; }

point() {
  fresh=$root/.evenkeel-current.$mark
  if [ -L "$fresh" ]; then rm -f "$fresh"; fi
  ln -s "$1" "$fresh"
  mv -f -T "$fresh" "$root/current" 2>/dev/null ||
    perl -e 'rename($ARGV[0], $ARGV[1]) or die "$!\n"' "$fresh" "$root/current" ||
    { rm -f "$fresh"; fail "the link could not be swapped (mv -T and perl both failed)"; }
  link=$1
}

# A way back is kept, unless nothing can go wrong any more after the swap.
activate() {
  [ -d "$root/releases/$release" ] || fail "releases/$release is not there"
  read_link
  was=$link
  if [ -f "$state/pending" ]; then
    look "$state/pending"
    was=$two
    at_once=
  fi
  if [ -z "$at_once" ]; then
    printf '%s\n%s\n' "$release" "$was" >"$state/pending.new"
    mv -f "$state/pending.new" "$state/pending"
  fi
  id_of "$was"
  if [ -n "$note_before" ] && [ -n "$id" ] && [ "$id" != "$release" ]; then
    printf '%s\n' "$id" >"$state/meta/$release/before"
  fi
  if [ "$link" != "releases/$release" ]; then
    id_of "$link"
    # What is made from it has them.
    [ -n "$note_before" ] || keep_reachable "$id" "$release"
    point "releases/$release"
  fi
  say "current $link"
}

go_back() {
  read_link
  if [ -f "$state/pending" ]; then
    look "$state/pending"
    if [ "$link" = "releases/$one" ] && [ "$two" != "releases/$one" ]; then
      if [ -n "$two" ]; then
        id_of "$two"
        keep_reachable "$one" "$id"
        point "$two"
      else
        rm -f "$root/current"
        link=
      fi
    fi
    if [ -d "$state/meta/$one" ] && ! [ -f "$state/meta/$one/good" ]; then
      : >"$state/meta/$one/failed"
    fi
    rm -f "$state/pending"
  fi
  say "current $link"
}

# Where no way back was kept, it must not fail.
confirm() {
  true >"$state/meta/$release/good" || [ -n "$at_once" ]
  if [ -e "$state/meta/$release/failed" ] || [ -e "$state/pending" ]; then
    rm -f "$state/meta/$release/failed" "$state/pending"
  fi
}

into_trash() { mkdir -p "$state/trash/$mark" && mv "$@" "$state/trash/$mark/"; }

# Those that failed, and those beyond "keep" of the others; never the one served and the one before it.
prune_releases() {
  [ -n "$link" ] || read_link
  id_of "$link"
  now=$id
  look "$state/meta/$now/before"
  case " $releases " in *" $release "*) ;; *) releases="$release $releases" ;; esac
  count=0
  outdated=
  set --
  for id in $releases; do
    [ -d "$root/releases/$id" ] || continue
    if ! [ -f "$state/meta/$id/failed" ]; then
      count=$((count + 1))
      [ "$count" -gt "$keep" ] || continue
    fi
    if [ "$id" != "$now" ] && [ "$id" != "$one" ]; then
      outdated="$outdated $id"
      set -- "$@" "$root/releases/$id"
    fi
  done
  if [ $# -eq 0 ]; then return 0; fi
  moved=0
  into_trash "$@" || moved=1
  set --
  for id in $outdated; do
    if ! [ -e "$root/releases/$id" ]; then set -- "$@" "$state/meta/$id"; fi
  done
  rm -rf "$@" && return $moved
}

prune() {
  set -- "$state"/meta/*/content
  known=$#
  set -- "$state"/meta/*/failed
  if [ "$known" -gt "$keep" ] || [ -e "$1" ]; then prune_releases || return 1; fi
  set --
  for left in "$state/staging"/*+* "$state/trash"/* "$root"/.evenkeel-current.*; do
    case $left in "$state/trash/$mark" | "$state/staging/$release+$mark") continue ;; esac
    if [ -e "$left" ] || [ -L "$left" ]; then set -- "$@" "$left"; fi
  done
  # One of these may just be on its way out by the hand of the run before.
  if [ $# -gt 0 ]; then into_trash "$@" 2>/dev/null || :; fi
}
`;
/** Functions on top of `COMMON_CODE`. */
const RELEASES_CODE = { begin: releases_code_BEGIN, rest: KEEP_REACHABLE + releases_code_REST };

;// CONCATENATED MODULE: ./src/release/remote-code.ts
// What runs on the server: POSIX shell for dash, bash and busybox. Values come in as variables, each through `quote`.
// Common to both ways of serving: releases-code.ts and in-place-code.ts add the functions of the same names
// (list_releases, describe, claim, verify, publish, give_up, activate, go_back, confirm, prune).
//
// A process takes the server a millisecond or two, a `$(...)` half of one, and each byte of the code a system call:
// functions give their results in variables, and nothing is started where a test of the shell's own tells that there
// is nothing to do.
/** Functions and names for all blocks below. Needs `root`, `state_path`, `hold_text`, `token` and `own` as variables. */
const remote_code_BEGIN = String.raw `
umask 022
state=$root/$state_path
hasher=sha256sum
command -v sha256sum >/dev/null 2>&1 || hasher='shasum -a 256'

fail() { say "fail $*"; exit 1; }

# When the client has gone: what was put away is removed after the answer, and after the lock was given back.
bell=$state/bell.$mark
at_exit() {
  look "$state/holder"
  if [ "$one" = "$$" ]; then set -- "$state/beat"; fi
  rm -rf "$@" "$bell" "$state/trash/$mark"
}
trap at_exit EXIT

# The first lines of a file, in $one, $two and $three.
look() {
  one= two= three=
  if [ -f "$1" ]; then
    { IFS= read -r one; IFS= read -r two; IFS= read -r three; } 2>/dev/null <"$1" || :
  fi
}

# The folders above it get the usual mode.
prepare() {
  [ -d "$state/meta" ] && [ -d "$state/staging" ] && return
  mkdir -p -m 700 -- "$state" "$state/meta" "$state/staging"
}

try_lock() {
  if command -v flock >/dev/null 2>&1; then
    # A redirection that fails would end the shell with exec, and does not with true.
    true >>"$state/lock" && exec 9>>"$state/lock" && flock -n 9
    return
  fi
  ln -s "$$" "$state/lock.pid" 2>/dev/null && trap 'rm -f "$state/lock.pid"; at_exit' EXIT && return
  holder_pid=$(readlink "$state/lock.pid") || return
  if kill -0 "$holder_pid" 2>/dev/null || [ -d "/proc/$holder_pid" ]; then return 1; fi
  mv -f "$state/lock.pid" "$state/lock.$mark" && rm -f "$state/lock.$mark"
  ln -s "$$" "$state/lock.pid" 2>/dev/null && trap 'rm -f "$state/lock.pid"; at_exit' EXIT
}

# A lock may be taken from a run that is ours, or from one whose signs of life have stopped.
may_break() {
  look "$state/holder"
  [ -n "$own" ] && [ "$three" = "$own" ] && return
  [ -n "$(find "$state/beat" -mmin +2 2>/dev/null)" ]
}

take_lock() {
  [ -z "$locked" ] || return 0
  tries=0
  until try_lock; do
    if [ "$tries" -ge 5 ] || ! may_break; then
      look "$state/holder"
      say "busy $two"
      return 0
    fi
    look "$state/holder"
    case $one in
      '' | *[!0-9]* | 0 | 1) ;;
      *) kill -s KILL -- "-$one" 2>/dev/null || kill -s KILL "$one" 2>/dev/null ;;
    esac
    tries=$((tries + 1))
    sleep 1
  done
  # Before the look at the other: of two that come at once, one at least sees the other.
  : >"$state/beat"
  printf '%s\n' "$$" "$hold_text" "$token" >"$state/holder"
  # A run through SFTP alone, see sftp-lease.ts.
  if [ -d "$state/lease" ] && [ -n "$(find "$state"/lease/*/beat -mmin -1 2>/dev/null)" ]; then
    unlock
    look "$state/lease/holder"
    say "busy $three"
    return 0
  fi
  locked=yes
  hang_bell
  list_releases
}

# A pipe that is open both ways here: who writes into it never waits, and nothing is lost.
hang_bell() {
  for old in "$state"/bell.*; do
    if [ -e "$old" ]; then rm -f "$old"; fi
  done
  if mkfifo -m 600 "$bell" 2>/dev/null && [ -p "$bell" ]; then
    exec 7<>"$bell"
    say "bell $bell"
  fi
}

describe_server() {
  near=$root
  while ! [ -d "$near" ]; do near=$(dirname "$near"); done
  df -Pk "$near" | {
    read -r _
    read -r _ _ _ free _
    say "free $free"
  }
  for tool in zstd gzip; do
    if command -v $tool >/dev/null 2>&1; then say "tool $tool"; fi
  done
}

# What a manifest has of each hash. A name with a newline or a backslash has one before the hash, or more than its line.
hashes_alone() { sed -n 's/^\\\{0,1\}\([0-9a-f]\{32\}\)[0-9a-f]\{32\} .*$/\1/p'; }

list_names() {
  find . -path ./.evenkeel -prune -o -type d -print0 >"$lists/folders" &&
    find . -path ./.evenkeel -prune -o -type f -print0 >"$lists/names"
}

# A line for each file in the lists, or it fails.
read_files() {
  : >"$lists/hashes" && : >"$lists/modes" && : >"$lists/missed" || return 1
  if ! [ -s "$lists/names" ]; then return 0; fi
  if [ "$1" != sizes ]; then
    { xargs -0 $hasher -- <"$lists/names" || echo missed >"$lists/missed"; } | hashes_alone >"$lists/hashes" || return 1
  fi
  xargs -0 stat -c '%a %s' -- <"$lists/names" >"$lists/modes" && ! [ -s "$lists/missed" ]
}

# The first thing in the lists that may not be read, as far as a line can hold its name.
find_unread() {
  if [ "$1" = sizes ]; then : >"$lists/names"; fi
  test='if [ -e "$name" ] && ! { [ -r "$name" ] && { [ -f "$name" ] || [ -x "$name" ]; }; }; then echo "$name"; fi'
  cat "$lists/folders" "$lists/names" | xargs -0 sh -c "for name do $test; done" sh | sed 's,^\./,,;q' >"$lists/unread"
}

# What lies in a tree, written into a folder of lists; by content, unless only sizes are asked for. Others may take
# files away meanwhile: then it begins anew.
inventory() (
  lists=$2
  cd "$1" || exit 1
  for attempt in 1 2 3 4 5; do
    if list_names && read_files "$3"; then exit 0; fi
    find_unread "$3"
    if [ -s "$lists/unread" ]; then exit 1; fi
  done
  exit 1
)

# Why there is none of this tree.
no_inventory() {
  look "$lists/unread"
  if [ -n "$dry" ]; then rm -rf "$lists"; fi
  if [ -n "$one" ]; then fail "'$1/$one' cannot be read"; fi
  fail "the files in $1 could not be listed, or went while they were read"
}

send_inventory() {
  for list in folders names hashes modes; do send "$list" "$1/$list"; done
}

# What an inventory does not tell of.
drop_specials() { find "$1" ! -type d ! -type f -exec rm -f -- {} +; }

# In the shell itself, when nothing else that it started runs: the kernel's lock goes with its last open file.
unlock() {
  rm -rf "$@" "$state/beat"
  exec 9>&-
  if ! command -v flock >/dev/null 2>&1; then
    trap at_exit EXIT
    rm -f "$state/lock.pid"
  fi
}
`;
const remote_code_REST = `
# What brings the files says so, each with a line.
await_lanes() {
  while [ "$lanes" -gt 0 ]; do
    read -r word <&7
    [ "$word" = arrived ] || fail 'not everything arrived'
    lanes=$((lanes - 1))
  done
}

# A block that was sent in one piece must not swap for a client that has gone meanwhile.
client_is_there() {
  kill -0 "$PPID" 2>/dev/null || [ -d "/proc/$PPID" ] || fail 'the connection broke before the activation'
}

# What arrived of a release that cannot come to its end, or what is left when it has.
discard() { if [ -e "$state/staging/$release+$mark" ]; then rm -rf "$state/staging/$release+$mark"; fi; }

# The end of a run: from here on another one may begin.
finish() { unlock "$state/staging/$release+$mark"; }

# Large files may have come in parts.
join_parts() {
  if ! [ -s ../join.sh ]; then return 0; fi
  (
    cd ..
    . ./join.sh
  )
}

# Much quicker, and wrong for a name with a newline.
line_starts() { cut -b 1-32; }

# All lists at the same time: mostly there is more than one processor.
hash_sent() {
  for list in ../sent.*; do
    if [ -s "$list" ]; then xargs -0 $1 <"$list" | $2 >"../hashes.\${list##*.}" & fi
  done
  wait
  digest=$(cat ../hashes.* | $hasher)
  digest=\${digest%% *}
}

verify_sent() {
  digest=-
  if [ "$want_digest" != - ]; then
    # It uses what the processor has for this, the other mostly does not.
    if [ "$want_bytes" -gt 1000000 ] && command -v openssl >/dev/null 2>&1; then
      hash_sent 'openssl dgst -sha256 -r' line_starts
    fi
    # A newline in a name confuses the first: what does not agree is hashed again.
    [ "$digest" = "$want_digest" ] || hash_sent "$hasher --" hashes_alone
  fi
  [ "$digest" = "$want_digest" ] || fail 'the content that arrived is not the content that was sent'
}
`;
const COMMON_CODE = { begin: remote_code_BEGIN, rest: remote_code_REST };

;// CONCATENATED MODULE: ./src/release/site-script.ts






function blockOf({ values = {}, code, prelude, sequel }) {
    return {
        code: `${assignments(values)}\n${code}`,
        prelude: prelude ?? '',
        ...(sequel === undefined ? {} : { sequel }),
    };
}
/** Where the action keeps its own, from the target on. */
const statePath = (mode) => (mode === 'atomic' ? 'releases/.evenkeel' : '.evenkeel');
/** Functions of the server's side: those that `begin` needs, or all others. */
function functions(mode, part) {
    const parts = [COMMON_CODE, mode === 'atomic' ? RELEASES_CODE : IN_PLACE_CODE];
    return parts.map((one) => compactScript(one[part])).join('\n');
}
/** Leaves `locked` empty where another run has the lock. */
const TAKE_LOCK = 'prepared=\nif prepare 2>&1; then prepared=yes; take_lock; fi';
/** How far the server looks at the files themselves. */
const FULL = { stored: '', listed: 'sizes', hashed: 'yes' };
/** What `begin` does first; more of the functions are read while nothing waits for the shell. */
function beginning({ target, holder, token, dryRun, mode }, options) {
    const variables = {
        root: (0,byte_string/* toByteString */.p)(target),
        state_path: statePath(mode),
        hold_text: (0,byte_string/* toByteString */.p)(holder.replaceAll(/\s+/g, ' ')),
        token,
        own: options.own ?? '',
        locked: dryRun ? 'not needed' : '',
        release: options.release ?? '',
        dry: dryRun ? 'yes' : '',
        full: FULL[options.look ?? 'stored'],
    };
    const lock = dryRun ? [] : [TAKE_LOCK];
    const guard = dryRun ? [] : ['[ -n "$prepared" ] || fail "the folder cannot be used"'];
    const claim = options.release === undefined ? [] : ['claim'];
    return {
        prelude: [assignments(variables), functions(mode, 'begin'), ...lock].join('\n'),
        code: [...guard, '[ -n "$locked" ] || exit 0', 'describe', ...claim].join('\n'),
    };
}
/** What cannot be removed is no reason to fail a deploy that stands. */
function confirmCode(keep) {
    return keep === undefined ? 'confirm' : 'confirm\nprune || say unpruned';
}
function assignments(values) {
    return Object.entries(values)
        .map(([name, value]) => `${name}=${(0,quote/* quote */.h)(value)}`)
        .join('\n');
}

// EXTERNAL MODULE: external "node:util"
var external_node_util_ = __webpack_require__(7975);
// EXTERNAL MODULE: external "node:zlib"
var external_node_zlib_ = __webpack_require__(8522);
;// CONCATENATED MODULE: ./src/release/compression.ts


const uncompressed = { name: 'none', unpack: '', compressor: () => undefined };
function zstd(level) {
    const params = { [external_node_zlib_.constants.ZSTD_c_compressionLevel]: level };
    return {
        name: 'zstd',
        unpack: 'zstd -dcq | ',
        compressor: (chunkSize) => external_node_zlib_.createZstdCompress({ chunkSize, params }),
    };
}
const GZIP = {
    name: 'gzip',
    unpack: 'gzip -dc | ',
    compressor: (chunkSize) => external_node_zlib_.createGzip({ chunkSize, level: 4 }),
};
/** Above this share of its size left, compressing is not worth its time. */
const WORTH_IT = 0.9;
/** The same where bytes travel about as fast as they are compressed. */
const WORTH_IT_NEAR = 0.5;
const deflate = (0,external_node_util_.promisify)(external_node_zlib_.deflateRaw);
/** What is left of a sample of some content, as a share. */
async function shareLeft(sample) {
    return sample.length === 0 ? 1 : (await deflate(sample, { level: 1 })).length / sample.length;
}
/** The best codec that both sides have, for content of which this share is left. `isNear`: on the same machine, or beside it. */
function chooseCodec(serverTools, left, isNear) {
    if (left > (isNear ? WORTH_IT_NEAR : WORTH_IT))
        return { codec: uncompressed, note: undefined };
    // Node has zstd since 22.15.
    const hasZstd = typeof external_node_zlib_.createZstdCompress === 'function';
    if (hasZstd && serverTools.has('zstd'))
        return { codec: zstd(isNear ? 1 : 3), note: undefined };
    const codec = serverTools.has('gzip') && !isNear ? GZIP : uncompressed;
    if (hasZstd)
        return { codec, note: `there is no zstd there: ${told(codec)}` };
    const lacksGzip = !isNear && codec === uncompressed;
    return { codec, note: lacksGzip ? `there is no gzip there: ${told(codec)}` : undefined };
}
const told = ({ name }) => (name === 'none' ? 'nothing is compressed' : `${name} compresses instead`);

// EXTERNAL MODULE: ./src/release/progress.ts
var release_progress = __webpack_require__(1846);
;// CONCATENATED MODULE: ./src/release/transfer.ts








const BYTES_FOR_LANES = 16 * 1024 * 1024;
const NARROW = { lanes: 1, apart: 0, partBytes: Number.POSITIVE_INFINITY };
/** More lanes gain nothing on a short path: the server unpacks several at once. */
const SEVERAL = { ...NARROW, lanes: 3 };
const BYTES_FOR_LONG_PATH = 64 * 1024 * 1024;
const LONG_PATH_MS = 60;
/**
 * A channel carries at most its window (2 MB) in a round trip, and a connection what its socket may hold (some 2.5 MB
 * on Linux as it comes): it takes several of both to fill a long fat path.
 */
const LONG = { lanes: 6, apart: 4, partBytes: 16 * 1024 * 1024 };
/**
 * On the same machine, or beside it: one lane is no slower than several there, and each hand that a chunk goes through
 * costs more than waiting until it is larger.
 */
const NEAR_MS = 1;
const CHUNK = 256 * 1024;
const NEAR_CHUNK = 1024 * 1024;
/** GNU tar reads and writes 10 KB at a time unless told otherwise; other tars take what a pipe holds. */
const OTHER_TAR = 'its tar is not GNU tar: the options that make that one quicker are left out';
const LARGE_TAR = `$(case $(tar --version 2>&1) in (*'GNU tar'*) echo tar -b 512 ;; (*) echo tar; echo '${OTHER_TAR}' >&2 ;; esac)`;
const SAMPLES = 32;
const SAMPLE_BYTES = 8 * 1024;
/** Has no divisor in common with the number of samples. */
const STRIDE = 5;
async function chooseWay(connection, { send, tree, tools }) {
    const { bytes } = send.total;
    const isNear = connection.roundTripMs < NEAR_MS;
    const choice = chooseCodec(tools, await compressibility(send, tree), isNear);
    if (isNear)
        return { ...choice, ...NARROW, chunkBytes: NEAR_CHUNK };
    const far = { ...choice, chunkBytes: CHUNK };
    if (connection.isNarrow || bytes < BYTES_FOR_LANES)
        return { ...far, ...NARROW };
    const isLong = connection.roundTripMs >= LONG_PATH_MS && bytes >= BYTES_FOR_LONG_PATH;
    return { ...far, ...(isLong ? LONG : SEVERAL) };
}
/** Sends what the comparison asks for. Resolves when the remote side has unpacked it all, not yet verified. */
async function transfer(connection, plan, { codec, note, lanes, apart, partBytes, chunkBytes }, context) {
    const { send, stage, bell } = plan;
    const queue = (0,archive/* pieces */.IE)(send, partBytes);
    const extra = () => [...plan.extra(), ...(0,archive/* joining */.bU)(send, partBytes)];
    connection.slowStart.end();
    const progress = (0,release_progress/* trackProgress */.Z)(send.total, context);
    const tar = send.total.bytes < BYTES_FOR_LANES ? 'tar' : LARGE_TAR;
    const unpack = `cd ${(0,quote/* quote */.h)(stage)} && ${codec.unpack}${tar} -xpof -`;
    const code = bell === undefined ? unpack : thenRing(unpack, bell);
    const { openings, opened } = openLanes(connection, plan.lane, lanes, apart, context);
    if (note !== undefined)
        context.log.info(`${connection.name}: ${note}`);
    let isOther = false;
    const failed = new AbortController();
    const signal = AbortSignal.any([context.signal, failed.signal]);
    try {
        await Promise.all(openings.map(async (opening, index) => {
            try {
                const lane = await opening;
                if (lane === undefined)
                    return;
                const packed = (0,archive/* archive */.rD)(queue, index === 0 ? extra : () => [], plan, chunkBytes, progress);
                const all = index === 0 ? withEnd(packed, async () => plan.onPacked(await opened)) : packed;
                const input = compressed(all, codec, chunkBytes, progress, signal);
                const result = await pipeToScript(connection.name, lane, code, input, signal);
                if (result.code !== 0)
                    throw unpackFailure(connection, result.code, result.noise);
                isOther ||= result.noise.includes(OTHER_TAR);
            }
            catch (error) {
                failed.abort(error);
                throw error;
            }
        }));
    }
    finally {
        progress.end();
    }
    if (isOther)
        context.log.info(`${connection.name}: ${OTHER_TAR}`);
    return { bytesOnWire: progress.bytesOnWire, codec: codec.name, lanes: await opened };
}
/** Where the server refuses one, those that there are bring everything. */
function openLanes(connection, first, lanes, apart, { log, signal }) {
    let refusal;
    const openThe = async (index) => {
        if (index === 0)
            return first;
        try {
            return await (index < lanes - apart ? openLane(connection) : openLaneApart(connection));
        }
        catch (error) {
            if (!connection.isOpen || signal.aborted)
                throw error;
            refusal = error;
            return undefined;
        }
    };
    const openings = Array.from({ length: lanes }, (_, index) => openThe(index));
    const opened = Promise.all(openings).then((all) => {
        const count = all.filter((lane) => lane !== undefined).length;
        if (count < lanes) {
            log.warn(`${connection.name}: ${count} of ${lanes} lanes could be opened, which bring everything: ${(0,src_failure/* describeError */.Uc)(refusal)}`);
        }
        return count;
    });
    // Its failure is that of a lane, too.
    opened.catch(() => { });
    return { openings, opened };
}
/** Nothing where the bell has gone with the shell that listened: a file would take its place. */
function ringBell(bell, word) {
    return `if [ -p ${(0,quote/* quote */.h)(bell)} ]; then echo ${word} 1<>${(0,quote/* quote */.h)(bell)}; fi`;
}
/** Tells the shell that waits for all lanes how this one ended. Opened both ways, the bell never blocks. */
function thenRing(unpack, bell) {
    const ring = ringBell(bell, '$word');
    return `code=0; ${unpack} || code=$?; if [ $code = 0 ]; then word=arrived; else word=broken; fi; ${ring}; exit $code`;
}
const compressibilities = new WeakMap();
/** The share that is left of a sample of these files when it is compressed. */
function compressibility(send, tree) {
    return (0,manifest/* once */.Oo)(compressibilities, send, async () => shareLeft(takeSample(send, tree)));
}
/** From all over the site, and from all places in its files: the first ones may all be images, the beginnings all text. */
function takeSample(send, tree) {
    const samples = [];
    for (let taken = 0; taken < SAMPLES; taken++) {
        const entry = send.fileFrom(Math.floor((taken * send.size) / SAMPLES));
        if (entry === undefined)
            break;
        samples.push(readAt(tree, entry, ((taken * STRIDE) % SAMPLES) / SAMPLES));
    }
    return Buffer.concat(samples);
}
/** Reads some bytes, at this share of a file's length. */
function readAt(tree, entry, share) {
    const sample = Buffer.alloc(Math.min(entry.size, SAMPLE_BYTES));
    if (sample.length === 0)
        return sample;
    const file = tree.open(entry, Math.floor((entry.size - sample.length) * share));
    try {
        return sample.subarray(0, file.read(sample));
    }
    finally {
        file.close();
    }
}
async function* withEnd(chunks, onEnd) {
    yield* chunks;
    await onEnd();
}
/** What goes over the wire of an archive. */
async function* compressed(packed, codec, chunkBytes, progress, signal) {
    const compressor = codec.compressor(chunkBytes / 2);
    if (compressor !== undefined)
        feed(compressor, packed, signal).catch((error) => compressor.destroy(error));
    for await (const chunk of compressor ?? packed) {
        progress.onWire(chunk.length);
        yield chunk;
    }
}
function unpackFailure(connection, code, noise) {
    const seen = (0,byte_string/* fromByteString */.q)(noise).trim().split('\n').slice(-3).join('; ');
    const full = /no space left|disk quota/i.test(seen);
    return new src_failure/* Failure */.HR(full ? 'there is no space left on the server' : 'unpacking on the server failed', {
        host: connection.name,
        seen: seen || `exit code ${code}`,
        hint: full
            ? 'free some space there, or keep fewer releases (`keep-releases`)'
            : 'look at the rights of the folder `releases` below the target',
    });
}

// EXTERNAL MODULE: ./src/release/transfer-lists.ts
var transfer_lists = __webpack_require__(7042);
;// CONCATENATED MODULE: ./src/release/shell-site.ts













/** Sign of life for the lock; a lock without one for two minutes may be taken. */
const BEAT_MS = 20_000;
const CLOSE_MS = 1_000;
/** Pause between two looks at a lock that another holds. */
const LOCK_RETRY_MS = 500;
/** A site through one connection and one shell, which holds the site's lock. */
class ShellSite {
    connection;
    #shell;
    settings;
    hasShell = true;
    verifies = 'contents';
    #log;
    #over = new AbortController();
    #lane;
    #released = false;
    #current = '';
    constructor(connection, shell, settings, context) {
        this.connection = connection;
        this.#shell = shell;
        this.settings = settings;
        this.#log = (0,src_context/* prefixedLog */.Qc)(context.log, connection.name);
    }
    /** For `open`: what `begin` does first with these options, which then is at work as soon as there is a shell. */
    static opening(settings, options) {
        return new OpeningBlock(blockOf(beginning(settings, options)));
    }
    static async open(connection, settings, context, opening) {
        return new ShellSite(connection, await RemoteShell.open(connection, opening), settings, context);
    }
    /** The way for what is sent, opened while the server still reads how it stands. */
    #laneNow() {
        this.#lane ??= openLane(this.connection);
        return this.#lane;
    }
    get name() {
        return this.connection.name;
    }
    get current() {
        return this.#current;
    }
    get mode() {
        return this.settings.mode;
    }
    /** Folder of the release that is being put together here. */
    #stagePath(release) {
        return (0,byte_string/* toByteString */.p)(`${this.settings.target}/${statePath(this.mode)}/staging/${release}+${this.#shell.mark}`);
    }
    /**
     * Takes the lock, waiting up to `lockWaitMs` for it, reads how the site stands, and where `release` is given and
     * not there, starts it. `own` is the token of a run whose remains may be swept away.
     */
    async begin(options, context) {
        const { dryRun } = this.settings;
        const give = context.clock.monotonic() + options.lockWaitMs;
        let { prelude, code } = beginning(this.settings, options);
        // From the start: what follows the lock in the same block may take longer than a lock without a sign of life lasts.
        if (!dryRun)
            void this.#beat(context.clock);
        // Its failure is taken up where it is used.
        if (options.release !== undefined && !dryRun)
            this.#laneNow().catch(() => { });
        for (let shown = false;;) {
            const folder = `${this.settings.target}/${statePath(this.mode)}`;
            const reader = new site_state/* StateReader */.Z0({ host: this.name, path: folder }, options.look);
            await this.#run({
                ...{ code, prelude },
                signal: context.signal,
                onRecord: (name, value) => reader.record(name, value),
                onData: (name, bytes) => reader.data.set(name, bytes),
            }).catch((error) => {
                this.#over.abort();
                throw error;
            });
            if (reader.busy === undefined) {
                this.#shell.define(functions(this.mode, 'rest'));
                const opened = reader.finish();
                this.#current = opened.state.current;
                if (reader.copied !== undefined) {
                    this.#log.info(`hard links are not possible there (${reader.copied}): unchanged files were copied`);
                }
                return opened;
            }
            if (context.clock.monotonic() >= give) {
                throw (0,site_host/* lockedFailure */.lT)(this.name, reader.busy, options.lockWaitMs);
            }
            if (!shown)
                this.#log.info(`waiting for the lock, held by ${reader.busy || 'another run'}`);
            shown = true;
            prelude = TAKE_LOCK;
            await context.clock.sleep(LOCK_RETRY_MS, context.signal);
        }
    }
    async bring(plan, ending, context) {
        const { release, tree, opened, mtime } = plan;
        const { clock } = context;
        const { send, replace } = this.#rest(plan);
        await this.#clear(release, replace, context);
        const sendStart = clock.monotonic();
        const { bell, state } = opened;
        let publishing;
        let isOver = false;
        const sending = {
            send,
            extra: () => this.#extra(plan),
            tree,
            stage: this.#stagePath(release),
            bell,
            tools: state.tools,
            lane: this.#laneNow(),
            mtime,
            onPacked: (lanes) => {
                // Where the server's shell can wait for what arrives, it is told all it has to do before that has arrived.
                if (bell === undefined || isOver)
                    return;
                publishing = this.#publish(plan, lanes, ending, context);
                publishing.catch(() => { });
            },
        };
        const way = await chooseWay(this.connection, sending);
        const result = await transfer(this.connection, sending, way, context).catch(async (error) => {
            isOver = true;
            await this.#giveUp(publishing, bell, context);
            throw error;
        });
        const verifyStart = clock.monotonic();
        await (publishing ?? this.#publish(plan, 0, ending, context));
        return {
            ...result,
            filesSent: send.total.files,
            sentMs: verifyStart - sendStart,
            verifiedMs: clock.monotonic() - verifyStart,
        };
    }
    /** What is to travel, and what must go before it from the release in the making. */
    #rest({ comparison, opened }) {
        if (this.mode === 'atomic')
            return comparison;
        const arrived = opened.base?.arrived;
        // What lies in the way in the site itself goes when the upload takes its place.
        return arrived === undefined ? { send: comparison.send, replace: [] } : (0,in_place/* takeUp */.bG)(comparison.send, arrived);
    }
    #extra({ comparison, opened, keepAssets }) {
        if (this.mode === 'atomic') {
            const all = (0,transfer_lists/* lists */.k8)(comparison, 'meta/manifest.gz');
            if (keepAssets !== undefined)
                all.push((0,transfer_lists/* assetList */.ln)('meta/assets', comparison.result, keepAssets));
            return all;
        }
        const extra = (0,transfer_lists/* lists */.k8)(comparison, 'manifest.gz');
        const scripts = (0,in_place/* placeScripts */.or)((0,in_place/* planPlace */.Jo)(comparison, opened.base?.manifest ?? (0,manifest/* makeManifest */.Ui)()));
        return [...extra, ...Object.entries(scripts).map(([name, text]) => (0,archive/* extraOf */.yc)(name, text))];
    }
    /** Ends a `#publish` that still waits for what will not come. */
    async #giveUp(publishing, bell, { signal }) {
        if (publishing === undefined || bell === undefined)
            return;
        // What was killed has not rung.
        await this.connection.script(ringBell((0,byte_string/* fromByteString */.q)(bell), 'broken'), { signal }).catch(() => { });
        await publishing.catch(() => { });
    }
    /** Removes from the release in the making what another kind of thing takes the place of. */
    async #clear(release, paths, context) {
        if (paths.length === 0)
            return;
        const folder = `${this.#stagePath(release)}/tree`;
        const names = paths.map((path) => (0,quote/* quote */.h)(`./${path}`)).join(' ');
        await this.#run({ code: `cd ${(0,quote/* quote */.h)(folder)}\nrm -rf -- ${names}`, signal: context.signal });
    }
    /** Checks what arrives by so many lanes (0: what has arrived) against what was sent, and makes it a release. */
    async #publish({ release, comparison, tree, site, owner, linked }, lanes, ending, context) {
        const shared = linked.map((path) => {
            const folder = path.endsWith('/') ? path : path.split('/').slice(0, -1).join('/');
            return `mkdir -p -- "$root"/shared/${(0,quote/* quote */.h)((0,byte_string/* toByteString */.p)(folder))}`;
        });
        const activation = ending.activate ? ['client_is_there', 'activate'] : [];
        const end = ending.finish ? [confirmCode(ending.keep)] : [];
        // What is left of the folder that it came in goes at the end.
        const left = ending.finish ? [] : ['discard'];
        const all = comparison.result.total;
        await this.#change({
            code: ['await_lanes', 'verify', ...shared, 'publish', ...left, ...activation, ...end].join('\n'),
            ...(ending.finish ? { sequel: 'finish' } : {}),
            values: {
                at_once: ending.finish ? 'yes' : '',
                note_before: 'yes',
                keep: String(ending.keep ?? 0),
                release,
                lanes: String(lanes),
                want_digest: (0,transfer_lists/* sentDigest */.Nr)(comparison.send),
                want_bytes: String(comparison.send.total.bytes),
                want_totals: `${all.files} ${all.bytes}`,
                root_mode: tree.rootMode.toString(8),
                content: (0,manifest/* contentId */.fm)(site),
                owner,
            },
            signal: context.signal,
        });
        this.#released = ending.finish;
    }
    async discard(release) {
        await this.#run({ code: 'give_up', values: { release } });
    }
    async noteAltered(release) {
        await this.#run({ code: ': >"$state/meta/$release/altered"', values: { release } });
    }
    async activate(release, noteBefore) {
        await this.#change({ code: 'activate', values: { release, note_before: noteBefore ? 'yes' : '' } });
    }
    async activateAndConfirm(release, noteBefore, keep) {
        const values = { release, note_before: noteBefore ? 'yes' : '', at_once: 'yes', keep: String(keep ?? 0) };
        await this.#change({ code: `activate\n${confirmCode(keep)}`, sequel: 'finish', values });
        this.#released = true;
    }
    async goBack() {
        await this.#change({ code: 'go_back' });
    }
    async confirm(release) {
        await this.#change({ code: 'confirm', values: { release } });
    }
    async finish(release, keep) {
        const values = { release, keep: String(keep ?? 0) };
        await this.#change({ code: confirmCode(keep), sequel: 'finish', values });
        this.#released = true;
    }
    async close() {
        this.#over.abort();
        if (this.#released)
            return this.connection.close();
        const patience = AbortSignal.timeout(CLOSE_MS);
        const late = new Promise((resolve) => patience.addEventListener('abort', () => resolve()));
        await Promise.race([this.#shell.close().catch(() => { }), late]);
        this.connection.close();
    }
    async #change(script) {
        await this.#run({
            ...script,
            onRecord: (name, value) => {
                if (name === 'current')
                    this.#current = value;
                if (name === 'unreachable') {
                    this.#log.warn(`${this.name}: not all assets that \`keep-assets\` picks could be kept reachable`);
                }
                if (name === 'unpruned')
                    this.#log.warn(`${this.name}: not all old releases could be removed`);
            },
        });
    }
    async #run(script) {
        let reason;
        const { code, noise } = await this.#shell.run(blockOf(script), {
            ...script,
            onRecord: (name, value) => {
                if (name === 'fail')
                    reason = value;
                else
                    script.onRecord?.(name, value);
            },
        });
        if (code === 0)
            return;
        const seen = (0,byte_string/* fromByteString */.q)(noise).trim().split('\n').slice(-5).join('; ');
        throw new src_failure/* Failure */.HR((0,byte_string/* fromByteString */.q)(reason ?? 'a step on the server failed'), {
            host: this.name,
            seen: seen || `exit code ${code}`,
            ...(0,site_host/* adviceFor */.cp)(`${reason ?? ''} ${seen}`, this.settings.target),
        });
    }
    /** Only for a lock of its own: a run that waits must not keep another's alive. */
    async #beat(clock) {
        const state = (0,quote/* quote */.h)(`${this.settings.target}/${statePath(this.mode)}`);
        const code = `cd ${state}
[ -f beat ] || exit 0
{ read -r _; read -r _; IFS= read -r token; } <holder
if [ "$token" = ${(0,quote/* quote */.h)(this.settings.token)} ]; then : >beat; fi`;
        try {
            for (;;) {
                await clock.sleep(BEAT_MS, this.#over.signal);
                // The next one may arrive.
                await this.connection.script(code).catch(() => { });
            }
        }
        catch {
            // It is over.
        }
    }
}

;// CONCATENATED MODULE: ./src/release/open-site.ts



/**
 * A site on a server, through a shell there, at work on `opening` if that is given; or through SFTP, where the server runs no
 * commands for this user.
 */
async function openSite(connection, settings, context, opening) {
    try {
        return await ShellSite.open(connection, settings, context, opening);
    }
    catch (error) {
        if (!(error instanceof NoShell))
            throw error;
        return openByFiles(connection, settings, context);
    }
}
/**
 * Takes the lock of each host, and begins there. Of two runs over the same hosts each could get one of them and wait for
 * the other's: so the first of all, in an order that is the same in every run, comes before the others, which come at
 * once. Some servers start a command only to end it with a word about SFTP: such a host is replaced in the list by one
 * that works through SFTP.
 */
async function beginOn(hosts, options, context) {
    const begin = async (host, index) => {
        try {
            return await host.begin(options, context);
        }
        catch (error) {
            if (!(error instanceof NoShell))
                throw error;
        }
        const other = await openByFiles(host.connection, host.settings, context);
        hosts[index] = other;
        return other.begin(options, context);
    };
    const first = firstOf(hosts);
    const ahead = begin(hosts[first], first);
    await ahead;
    return onEach(hosts, (host, index) => (index === first ? ahead : begin(host, index)));
}
/** Index of the one that comes first by its address. */
function firstOf(hosts) {
    const addresses = hosts.map(({ connection }, index) => ({ ...connection.target, index }));
    addresses.sort((a, b) => (a.host === b.host ? a.port - b.port : a.host < b.host ? -1 : 1));
    return addresses[0]?.index ?? 0;
}
/** Loaded where it is needed, which is seldom. */
async function openByFiles(connection, settings, context) {
    const { SftpSite } = await __webpack_require__.e(/* import() */ 784).then(__webpack_require__.bind(__webpack_require__, 784));
    return SftpSite.open(connection, settings, context);
}

;// CONCATENATED MODULE: ./src/release/recovery.ts


/**
 * What each host needs after a run that died between activation and confirmation. Pure. Where some host has confirmed
 * the release, all had been found well: the others follow. Otherwise nobody knows: they go back.
 */
function planRepair(states) {
    return states.map(({ pending }) => {
        if (pending === undefined)
            return 'none';
        const confirmed = states.some((other) => other.pending === undefined &&
            (0,site_state/* releaseOf */.l7)(other.current) === pending.release &&
            other.releases.some(({ id, state }) => id === pending.release && state === 'good'));
        return confirmed ? 'confirm' : 'go back';
    });
}
/** The links as the repair will leave them. Pure. */
function linksAfterRepair(states) {
    const repairs = planRepair(states);
    return states.map(({ pending, current }, index) => {
        const isSwapped = pending !== undefined && releaseOf(current) === pending.release;
        return isSwapped && repairs[index] === 'go back' ? pending.returnTo : current;
    });
}
/** Repairs what a dead run left, and says so. Resolves with the links as they are afterwards. */
async function repair(hosts, states, context) {
    const repairs = planRepair(states);
    if (repairs.some((one) => one !== 'none')) {
        const mix = hosts.map(({ name, current }) => `${name} serves ${served(current)}`).join('; ');
        context.log.warn(`an earlier run died while it activated a release: ${mix}`);
    }
    await onEach(hosts, async (host, index) => {
        const pending = states[index]?.pending;
        if (pending === undefined)
            return;
        if (repairs[index] === 'confirm')
            await host.confirm(pending.release);
        else
            await host.goBack();
        context.log.info(`${host.name}: repaired, it serves ${served(host.current)}`);
    });
    return hosts.map(({ current }) => current);
}
/** Warns when hosts that should serve the same release do not. */
function reportMix(hosts, context) {
    if (new Set(hosts.map(({ current }) => current)).size <= 1)
        return;
    const mix = hosts.map(({ name, current }) => `${name} serves ${served(current)}`).join('; ');
    context.log.warn(`the hosts do not serve the same release: ${mix}`);
}

// EXTERNAL MODULE: ./src/release/packed-manifest.ts
var packed_manifest = __webpack_require__(3055);
// EXTERNAL MODULE: ./src/release/source-file.ts
var source_file = __webpack_require__(9771);
;// CONCATENATED MODULE: ./src/release/source-tree.ts





const PIECE = 256 * 1024;
/**
 * Has a folder listed by a thread, which then goes on to read it; resolves with the names. Rejects where something in it
 * cannot be uploaded.
 */
function listSource(thread, signal) {
    return new Promise((resolve, reject) => {
        let tree;
        const fail = (error) => {
            thread.stop();
            if (tree === undefined)
                reject(error);
            else
                tree.fail(error);
        };
        const abort = () => fail((0,src_context/* cancelled */.KW)(signal));
        const hear = (news) => {
            if ('failed' in news) {
                const { what, ...details } = news.failed;
                fail(new src_failure/* Failure */.HR(what, details));
            }
            else if ('read' in news)
                tree?.take(news.read);
            else {
                const { columns, files, rootMode } = news.listed;
                tree = new ReadTree((0,byte_string/* toByteString */.p)(thread.order.folder), new packed_manifest/* PackedManifest */.k9(columns), files, rootMode);
                resolve(tree);
            }
        };
        signal.addEventListener('abort', abort, { once: true });
        if (signal.aborted)
            abort();
        else
            thread.read(hear).catch(fail);
    });
}
/** What has been told of the folder so far. */
class ReadTree {
    manifest;
    files;
    rootMode;
    #root;
    #slabs = [];
    /** By place: in which slab a file's content is kept, if it is, and from where on. */
    #slabOf;
    #starts;
    /** The place that was last asked for. */
    #last = -1;
    /** So many entries are hashed, and this path is the last one's. */
    #hashed = 0;
    #upTo = '';
    #failed;
    #waiting = [];
    constructor(root, manifest, files, rootMode) {
        this.#root = root;
        this.manifest = manifest;
        this.files = files;
        this.rootMode = rootMode;
        this.#slabOf = new Uint32Array(manifest.size);
        this.#starts = new Int32Array(manifest.size).fill(-1);
    }
    get #isComplete() {
        return this.#hashed === this.manifest.size;
    }
    take({ sizes, hashes, places, contents }) {
        this.manifest.setContents(this.#hashed, sizes, hashes);
        if (contents !== undefined) {
            this.#starts.set(places, this.#hashed);
            this.#slabOf.fill(this.#slabs.length, this.#hashed, this.#hashed + places.length);
            this.#slabs.push(contents);
        }
        this.#hashed += places.length;
        this.#upTo = this.manifest.path(this.#hashed - 1);
        const waiting = this.#waiting;
        this.#waiting = waiting.filter(({ isThere }) => !isThere());
        for (const { isThere, resolve } of waiting)
            if (isThere())
                resolve();
    }
    /** No more will be told. */
    fail(error) {
        if (this.#isComplete || this.#failed !== undefined)
            return;
        this.#failed = { error };
        for (const { reject } of this.#waiting.splice(0))
            reject(error);
    }
    async hash() {
        if (!this.#isComplete)
            await this.#until(() => this.#isComplete);
    }
    whenHashed(path) {
        const isThere = () => this.#isComplete || path <= this.#upTo;
        return isThere() ? undefined : this.#until(isThere);
    }
    #until(isThere) {
        return new Promise((resolve, reject) => {
            if (this.#failed === undefined)
                this.#waiting.push({ isThere, resolve, reject });
            else
                reject(this.#failed.error);
        });
    }
    kept({ path }) {
        const place = this.manifest.placeOf(path, this.#last) ?? -1;
        const slab = this.#slabs[this.#slabOf[place] ?? -1];
        const start = this.#starts[place] ?? -1;
        this.#last = place;
        if (slab === undefined || start < 0)
            return undefined;
        return Buffer.from(slab.buffer, slab.byteOffset + start, this.manifest.columns.sizes[place]);
    }
    open(entry, from) {
        return (0,source_file/* openFile */.Tq)(this.#root, entry, from);
    }
    *read(entry) {
        const kept = this.kept(entry);
        if (kept !== undefined) {
            yield kept;
            return;
        }
        const file = this.open(entry, 0);
        try {
            for (let left = entry.size; left > 0;) {
                const room = Buffer.allocUnsafeSlow(Math.min(left, PIECE));
                const piece = room.subarray(0, file.read(room));
                left -= piece.length;
                yield piece;
            }
        }
        finally {
            file.close();
        }
    }
}

// EXTERNAL MODULE: ./src/duration.ts
var duration = __webpack_require__(7607);
// EXTERNAL MODULE: ./src/release/comparison.ts
var comparison = __webpack_require__(1692);
;// CONCATENATED MODULE: ./src/release/stage.ts









/** Room for the file system's own needs, beyond the bytes to be written. */
const SPARE_BYTES = 8 * 1024 * 1024;
const BLOCK = 4096;
/** Throws where the site itself has something at a path of `linked`. */
function checkLinked(site, linked) {
    const taken = linkedEntries(linked).find(({ path }) => site.has(path) || path.split('/').some((_, at, parts) => isNoFolder(site, parts.slice(0, at))));
    if (taken === undefined)
        return;
    throw new src_failure/* Failure */.HR(`\`linked\` names '${taken.path}', which the source folder has too`, {
        state: 'nothing was changed.',
        hint: 'name it in `exclude`, or take it out of `linked`',
    });
}
/** The site with a relative link into `<target>/shared` for each of `linked`. */
function withLinked(site, linked) {
    if (linked.length === 0)
        return site;
    const links = linkedEntries(linked);
    const folders = links.flatMap(({ path }) => path
        .split('/')
        .slice(1)
        .map((_, at) => path
        .split('/')
        .slice(0, at + 1)
        .join('/'))
        .filter((folder) => !site.has(folder))
        .map((folder) => ({ type: 'folder', path: folder, mode: 0o755 })));
    return (0,manifest/* makeManifest */.Ui)((function* () {
        yield* site.values();
        yield* folders;
        yield* links;
    })());
}
function linkedEntries(linked) {
    return linked.map((path) => {
        const name = (0,byte_string/* toByteString */.p)(path.replace(/\/$/, ''));
        // From releases/<id>/, one level up for each folder that the link lies in.
        const up = '../'.repeat(name.split('/').length + 1);
        return { type: 'link', path: name, to: `${up}shared/${name}` };
    });
}
function isNoFolder(site, parts) {
    const entry = site.get(parts.join('/'));
    return entry !== undefined && entry.type !== 'folder';
}
/** Throws where the release is there with another content. */
function checkSameContent(host, { state }, release, site) {
    const present = state.releases.find(({ id }) => id === release);
    if (present === undefined)
        return false;
    if (present.content === (0,manifest/* contentId */.fm)(site))
        return true;
    throw new src_failure/* Failure */.HR(`release ${release} is there already, with other content`, {
        host,
        state: 'this step changed nothing.',
        hint: 'a release never changes: give this content another `release`',
    });
}
/** Whether what the files hold must be known before anything is sent: only a first release is compared with nothing. */
function needsContents(host, { base, state }, release) {
    const isPlain = host.hasShell && host.mode === 'atomic';
    return !isPlain || (base?.manifest.size ?? 0) > 0 || state.releases.some(({ id }) => id === release);
}
function planStage(host, { base }, options) {
    const { site, keepAssets = () => false, mtime, deletion, isExcluded } = options;
    const there = base?.manifest ?? (0,manifest/* makeManifest */.Ui)();
    const ours = base?.ours ?? (0,manifest/* makeManifest */.Ui)();
    // What commands or people put into a release was never of the site.
    const isOurs = (path) => ours.has(path) || base?.assets?.has(path) === true;
    if (host.mode === 'atomic')
        return (0,comparison/* compare */.U)(there, site, (path) => keepAssets(path) && isOurs(path), mtime);
    if (site.has('.evenkeel')) {
        throw new src_failure/* Failure */.HR("the source folder has '.evenkeel', which in place is where the action keeps its own", {
            state: 'the site is as it was.',
            hint: 'name it in `exclude`',
        });
    }
    return (0,in_place/* compareInPlace */.Qc)({ there, ours }, site, deletion, keepAssets, isExcluded, mtime);
}
/** Brings a release to one host, complete and verified, without touching what is served. */
async function stageOn(host, opened, tree, options, context) {
    const { clock, log } = context;
    const { release, site, dryRun } = options;
    const started = clock.monotonic();
    const whole = site.total;
    const still = {
        host: host.name,
        siteBytes: whole.bytes,
        verified: host.verifies,
        codec: 'none',
        filesSent: 0,
        bytesOnWire: 0,
        sentMs: 0,
        verifiedMs: 0,
    };
    if (checkSameContent(host.name, opened, release, site)) {
        const unchanged = whole.files;
        return { ...still, added: 0, changed: 0, removed: 0, unchanged, complete: true, comparedMs: 0 };
    }
    const comparison = planStage(host, opened, options);
    const { added, changed, removed, unchanged } = comparison;
    const sent = comparison.send.total;
    const counts = { added, changed, removed, unchanged, complete: false };
    const comparedMs = clock.monotonic() - started;
    if (opened.base?.kind === 'staging' || opened.base?.arrived !== undefined)
        log.info(`${host.name}: taking up an unfinished upload of ${release}`);
    log.info(`${host.name}: files: ${added} added, ${changed} changed, ${removed} removed, ${unchanged} unchanged; ${(0,release_progress/* formatBytes */.z)(sent.bytes)} to send of ${(0,release_progress/* formatBytes */.z)(whole.bytes)}`);
    const needed = spaceFor(comparison.send);
    if (needed > opened.state.freeBytes) {
        if (!dryRun)
            await host.discard(release);
        throw new src_failure/* Failure */.HR('there is not enough space on the server', {
            host: host.name,
            seen: `${(0,release_progress/* formatBytes */.z)(opened.state.freeBytes)} free, ${(0,release_progress/* formatBytes */.z)(needed)} needed`,
            state: 'the site is as it was.',
            hint: 'free some space there, or keep fewer releases (`keep-releases`)',
        });
    }
    if (dryRun)
        return { ...still, ...counts, comparedMs, filesSent: sent.files };
    const { mtime, owner, linked, keepAssets } = options;
    const plan = { release, comparison, opened, tree, mtime, site, owner, linked, keepAssets };
    const result = await host.bring(plan, options.ending, context).catch(async (error) => {
        // A full disk stays full until what arrived is gone; anything else is taken up by the next run.
        if (error instanceof src_failure/* Failure */.HR && (0,site_host/* isFull */.uq)(`${error.message} ${error.details.seen ?? ''}`)) {
            await host.discard(release);
        }
        const isKnown = error instanceof src_failure/* Failure */.HR && error.details.state !== undefined;
        if (isKnown || !options.ending.activate)
            throw error;
        // The server may have swapped it without a line left to say so.
        throw withOutcome(error, {
            state: 'the settle step sees to it, and tells what is served.',
            complete: false,
        });
    });
    const { codec, bytesOnWire, filesSent, lanes, sentMs, verifiedMs } = result;
    const checked = host.verifies === 'sizes' ? ' (by sizes)' : '';
    log.info(`${host.name}: release ${release} is complete and verified${checked}: ${(0,release_progress/* formatBytes */.z)(bytesOnWire)} on the wire (${codec}, ${lanes} ${lanes === 1 ? 'lane' : 'lanes'}) in ${(0,duration/* formatDuration */.a)(sentMs)}`);
    return { ...still, ...counts, comparedMs, sentMs, verifiedMs, codec, filesSent, bytesOnWire };
}
/** What files take on a disk. */
function spaceFor(send) {
    let bytes = SPARE_BYTES;
    for (const size of send.sizes())
        bytes += Math.ceil(size / BLOCK) * BLOCK;
    return bytes;
}

// EXTERNAL MODULE: external "node:fs"
var external_node_fs_ = __webpack_require__(3024);
// EXTERNAL MODULE: external "node:os"
var external_node_os_ = __webpack_require__(8161);
// EXTERNAL MODULE: external "node:path"
var external_node_path_ = __webpack_require__(6760);
// EXTERNAL MODULE: ./node_modules/@actions/core/lib/core.js + 5 modules
var lib_core = __webpack_require__(8524);
;// CONCATENATED MODULE: ./src/runner/console-log.ts

/** The step's log. Lines may come from servers, so none of them can be a workflow command. */
const consoleLog = {
    info: (line) => lib_core/* info */.pq(inert(line)),
    warn: (line) => lib_core/* warning */.$e(inert(line)),
    debug: (line) => lib_core/* debug */.Yz(inert(line)),
};
/**
 * One line that the runner takes as text: `::name::` at its start and `##[name]` anywhere in it are commands
 * (actions/runner, ActionCommand.cs), as is a new line inside. White space before `::` is .NET's, which knows U+0085.
 */
function inert(line) {
    return line
        .replaceAll(/[\r\n]+/g, ' ')
        .replace(/^([\s\u0085]*):(?=:)/, '$1\u200b:')
        .replaceAll('##[', '##\u200b[');
}
/** Runs work inside a fold of the log. */
async function inGroup(title, work) {
    core.startGroup(inert(title));
    try {
        return await work();
    }
    finally {
        core.endGroup();
    }
}

// EXTERNAL MODULE: ./src/runner/github-context.ts
var github_context = __webpack_require__(7569);
// EXTERNAL MODULE: ./src/runner/input-reader.ts
var input_reader = __webpack_require__(7344);
;// CONCATENATED MODULE: ./src/runner/summary.ts

/** GitHub cuts a summary off above 1,024 KiB; the rest of the job may want some of it. */
const MAX_BYTES = 256 * 1024;
/** Appends Markdown to the job's summary page; does nothing outside of a runner. */
async function writeSummary(markdown) {
    if (!process.env['GITHUB_STEP_SUMMARY'])
        return;
    const text = Buffer.byteLength(markdown) > MAX_BYTES ? `${markdown.slice(0, MAX_BYTES / 4)}\n\n(cut)` : markdown;
    await lib_core/* summary */.z.addRaw(text, true).write();
}
/** An error as a section of the summary, with all it has to tell. */
function failureMarkdown(failure) {
    return `### Failed: ${plainMarkdown(failure.message)}\n\n${failure.describe().split('\n').map(plainMarkdown).join('<br>')}\n`;
}
/** A Markdown table. Cells are plain text: markup in them, from a file name or a server, is shown and not obeyed. */
function markdownTable(header, rows) {
    const line = (cells) => `| ${cells.map(plainMarkdown).join(' | ')} |`;
    return [line(header), `|${header.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n');
}
/** Text that Markdown and HTML show as it is. */
function plainMarkdown(text) {
    return text
        .replaceAll('&', '&amp;')
        .replaceAll('<', '&lt;')
        .replaceAll(/[\\`*_{}[\]()#+!|~@]/g, (char) => `&#${char.charCodeAt(0)};`)
        .replaceAll(/\r?\n/g, '<br>');
}

;// CONCATENATED MODULE: ./src/runner/action.ts











/** Entry of every bundle: `index.js main` or `index.js settle`. Ends the process. */
async function runAction(action) {
    const abort = new AbortController();
    const isSettling = process.argv[2] === 'settle';
    // Main has no state yet: what a workflow calls STATE is not ours.
    const run = makeRun(abort.signal, new StateFile(isSettling ? process.env['STATE'] : undefined));
    const phase = isSettling ? settlePhase : mainPhase;
    for (const signal of ['SIGINT', 'SIGTERM']) {
        process.on(signal, () => {
            if (!abort.signal.aborted)
                lib_core/* info */.pq(`${signal}: stopping as soon as it is safe ...`);
            abort.abort(new src_failure/* Cancelled */.cJ('cancelled'));
        });
    }
    for (const event of ['uncaughtException', 'unhandledRejection']) {
        process.on(event, (error) => {
            report(error);
            process.exit(1);
        });
    }
    // Node ends with 0 where nothing is left to wait for: what hangs on a promise would count as done.
    process.on('beforeExit', () => {
        report(new Error('the work came to a standstill before its end'));
        process.exit(1);
    });
    await phase(action, run);
    // Sockets that a server keeps open must not keep the step running.
    process.exit(process.exitCode ?? 0);
}
async function mainPhase(action, run) {
    if (action.settle) {
        run.state.create();
        lib_core/* setOutput */.uH('state', run.state.path);
    }
    try {
        await action.main(run);
        run.state.finish();
    }
    catch (error) {
        report(error);
        process.exitCode = 1;
        if (error instanceof src_failure/* Failure */.HR)
            await writeSummary(failureMarkdown(error));
        // A failure of our own has left things as its text says; anything else is for the settle phase to look at.
        if (error instanceof src_failure/* Failure */.HR && !(error instanceof src_failure/* Cancelled */.cJ) && !error.details.unsettled) {
            run.state.finish();
        }
    }
}
async function settlePhase(action, run) {
    const unsettled = run.state.unsettled();
    if (unsettled === undefined || action.settle === undefined)
        return;
    try {
        await action.settle(run, unsettled);
    }
    catch (error) {
        const text = error instanceof src_failure/* Cancelled */.cJ
            ? 'cancelled before everything was put right: run the job again, it looks at the state of things first'
            : (0,src_failure/* describeError */.Uc)(error);
        lib_core/* warning */.$e(inertText(text), { title: 'Could not be put right' });
    }
}
function report(error) {
    if (error instanceof src_failure/* Failure */.HR) {
        const title = error instanceof src_failure/* Cancelled */.cJ ? 'Cancelled' : error.message;
        lib_core/* error */.z3(inertText(error.describe()), { title: inert(title) });
    }
    else {
        const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
        lib_core/* error */.z3(inertText(`unexpected error, a defect of this action:\n${stack}`));
    }
}
function inertText(text) {
    return text.split('\n').map(inert).join('\n');
}
function makeRun(signal, state) {
    const github = (0,github_context/* readGitHubContext */.L)(process.env);
    return {
        context: { log: consoleLog, clock: src_context/* systemClock */.ml, signal },
        github,
        state,
        inputs(define) {
            const reader = new input_reader/* InputReader */.i(readInputs(), lib_core/* setSecret */.Pq);
            const inputs = define(reader);
            reader.finish();
            return inputs;
        },
        output: (name, value) => lib_core/* setOutput */.uH(name, value),
        saveState: (value) => state.save(value),
    };
}
function readInputs() {
    const inputs = (0,input_reader/* parseInputs */.T)(process.env['INPUTS']);
    if (inputs !== undefined)
        return inputs;
    throw new src_failure/* Failure */.HR('the variable INPUTS does not hold the inputs', {
        hint: 'run this bundle through its action.yml, which hands the inputs over, not by itself',
    });
}
/**
 * The file by which main tells the settle step where things stand. It outlives a killed process. Each line replaces those
 * before it: a line more costs no wait for the disk, which a file renamed over another does on ext4.
 */
class StateFile {
    path;
    #given;
    constructor(given) {
        this.#given = given !== undefined && given !== '';
        const folder = process.env['RUNNER_TEMP'] || (0,external_node_os_.tmpdir)();
        this.path = this.#given ? given : (0,external_node_path_.join)(folder, `evenkeel-${(0,external_node_crypto_.randomUUID)()}.json`);
    }
    create() {
        this.#write({ finished: false });
    }
    save(state) {
        this.#write({ finished: false, state });
    }
    finish() {
        this.#write({ finished: true });
    }
    /** The last state of a main that did not come to its end; undefined when there is nothing to settle. */
    unsettled() {
        if (!this.#given)
            return undefined;
        const saved = (0,external_node_fs_.readFileSync)(this.path, 'utf8').split('\n').flatMap(savedState);
        const last = saved.at(-1);
        return last === undefined || last.finished ? undefined : last.state;
    }
    #write(content) {
        // A newline before it too: what was not written to its end must not spoil what follows.
        (0,external_node_fs_.appendFileSync)(this.path, `\n${JSON.stringify(content)}\n`, { mode: 0o600 });
    }
}
/** None where a line was not written to its end. */
function savedState(line) {
    try {
        return [JSON.parse(line)];
    }
    catch {
        return [];
    }
}

// EXTERNAL MODULE: ./src/health/check.ts
var health_check = __webpack_require__(3774);
;// CONCATENATED MODULE: ./src/health/poll.ts

/** The first pause: a service that is back at once is found at once. */
const FIRST_PAUSE_MS = 50;
/** The pause after the n-th attempt (counted from 1): doubles from 50 ms up to the interval. */
function pauseAfter(attempt, intervalMs) {
    return Math.min(intervalMs, FIRST_PAUSE_MS * 2 ** Math.min(attempt - 1, 30));
}
/** Probes until enough good answers came in a row or the time is over. Rejects only when cancelled. */
async function pollHealth(probe, policy, context) {
    const { clock, signal, log } = context;
    const start = clock.monotonic();
    const elapsed = () => clock.monotonic() - start;
    let inARow = 0;
    let last;
    for (let attempts = 1;; attempts++) {
        // No probe may outlast the deadline, however long the server keeps the connection open.
        const deadline = AbortSignal.timeout(Math.max(1, Math.ceil(policy.timeoutMs - elapsed())));
        const answer = await probe(AbortSignal.any([signal, deadline]));
        (0,src_context/* throwIfCancelled */.dZ)(signal);
        // A probe that the deadline cut short says less than the answer before it.
        if (last === undefined || answer.ok || !deadline.aborted) {
            if (last === undefined || describeAnswer(last) !== describeAnswer(answer)) {
                log.info(`health: ${describeAnswer(answer)}`);
            }
            last = answer;
        }
        inARow = answer.ok ? inARow + 1 : 0;
        if (inARow >= policy.threshold)
            return { healthy: true, attempts, durationMs: elapsed(), last };
        const pause = pauseAfter(attempts, policy.intervalMs);
        if (elapsed() + pause >= policy.timeoutMs)
            return { healthy: false, attempts, durationMs: elapsed(), last };
        await clock.sleep(pause, signal);
    }
}
/** An answer in a few words, for log lines and errors. */
function describeAnswer({ ok, status, error, body }) {
    const parts = [ok ? 'good' : (error ?? 'bad')];
    if (status !== undefined)
        parts.push(`status ${status}`);
    if (body)
        parts.push(`'${body}'`);
    return parts.join(', ');
}

// EXTERNAL MODULE: external "node:net"
var external_node_net_ = __webpack_require__(7030);
// EXTERNAL MODULE: ./node_modules/node-ssh/lib/esm/index.mjs + 2 modules
var esm = __webpack_require__(9487);
// EXTERNAL MODULE: external "node:buffer"
var external_node_buffer_ = __webpack_require__(4573);
// EXTERNAL MODULE: external "node:string_decoder"
var external_node_string_decoder_ = __webpack_require__(6193);
;// CONCATENATED MODULE: ./src/ssh/output-tail.ts


/** Output without newlines (a progress bar, a binary) is cut into lines of this many characters. */
const LONGEST_LINE = 65_536;
/** Splits output into lines as it comes and keeps the last bytes of it. */
class OutputTail {
    #limit;
    #onLine;
    #decoder = new external_node_string_decoder_.StringDecoder('utf8');
    #chunks = [];
    #bytes = 0;
    #partial = '';
    constructor(limit, onLine) {
        this.#limit = limit;
        this.#onLine = onLine;
    }
    push(chunk) {
        this.#chunks.push(chunk);
        this.#bytes += chunk.length;
        while (this.#bytes - (this.#chunks[0]?.length ?? 0) >= this.#limit && this.#chunks.length > 1) {
            this.#bytes -= this.#chunks.shift()?.length ?? 0;
        }
        if (this.#onLine === undefined)
            return;
        const lines = (this.#partial + this.#decoder.write(chunk)).split('\n');
        this.#partial = lines.pop() ?? '';
        if (this.#partial.length > LONGEST_LINE) {
            lines.push(this.#partial);
            this.#partial = '';
        }
        for (const line of lines)
            this.#onLine(line);
    }
    end() {
        if (this.#onLine !== undefined && this.#partial !== '')
            this.#onLine(this.#partial);
        this.#partial = '';
    }
    get text() {
        return external_node_buffer_.Buffer.concat(this.#chunks).subarray(-this.#limit).toString('utf8');
    }
}

;// CONCATENATED MODULE: ./src/ssh/ignored-message.ts
const MSG_IGNORE = 2;
/** Every server takes packets of this size (RFC 4253, 6.1). */
const PACKET_BYTES = 32_000;
/** Sends messages that say nothing (RFC 4253, 11.2), of so many bytes in all; one, where that is 0. */
function sendIgnored(client, bytes) {
    const { _protocol: protocol } = client;
    // While keys are exchanged anew, nothing may come between.
    if (protocol === undefined || protocol._kexinit !== undefined)
        return;
    const { write } = protocol._packetRW;
    let left = bytes;
    do {
        const size = Math.min(left, PACKET_BYTES);
        const packet = write.alloc(1 + 4 + size);
        const start = write.allocStart;
        packet[start] = MSG_IGNORE;
        packet.writeUInt32BE(size, start + 1);
        // It is not empty when it is new: what lay there is nobody's business.
        packet.fill(0, start + 5, start + 5 + size);
        protocol._cipher.encrypt(write.finalize(packet));
        left -= size;
    } while (left > 0);
}

;// CONCATENATED MODULE: ./src/ssh/slow-start.ts

/** What TCP sends in the first round trip: ten segments (RFC 6928). */
const FIRST_BYTES = 14_000;
const ROUNDS = 4;
/** Below this a slow start is over soon enough. */
const FAR_MS = 10;
/**
 * Takes a connection through TCP's slow start while nothing else can be sent: until the server has said how it stands, a
 * path that could carry 500 KB in a round trip has carried 14, and grows only with what is sent (RFC 5681, 3.1). So as much
 * as TCP lets through is sent in messages that say nothing (RFC 4253, 11.2), some 200 KB at most, and never ahead of
 * something that is waited for.
 */
class SlowStart {
    #client;
    #roundTripMs;
    #isWorthIt;
    #timer;
    #round = 0;
    /** `isWorthIt` is asked before each round whether much is going to be sent; without it, nothing ever is. */
    constructor(client, roundTripMs, isWorthIt) {
        this.#client = client;
        this.#roundTripMs = roundTripMs;
        this.#isWorthIt = isWorthIt;
        if (roundTripMs < FAR_MS || isWorthIt === undefined)
            this.end();
    }
    /** One round, behind what has been sent. */
    push() {
        if (this.#round === ROUNDS || this.#isWorthIt?.() !== true)
            return;
        sendIgnored(this.#client, FIRST_BYTES * 2 ** this.#round);
        this.#round++;
        if (this.#round === ROUNDS)
            this.end();
    }
    /** A round now and with each round trip, until `end`. To be called when an answer is waited for. */
    keepPushing() {
        if (this.#timer !== undefined || this.#round === ROUNDS)
            return;
        this.#timer = setInterval(() => this.push(), this.#roundTripMs);
        this.push();
    }
    /** To be called as soon as there is something to be sent, or nothing can be. */
    end() {
        this.#round = ROUNDS;
        clearInterval(this.#timer);
    }
}

;// CONCATENATED MODULE: ./src/ssh/target.ts

const HOST_NAME = /^(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\.?$/;
const USER_NAME = /^[A-Za-z0-9_][A-Za-z0-9._@+-]*\$?$/;
/** A port number of decimal digits, or undefined. */
function parsePort(text) {
    if (!/^[1-9]\d{0,4}$/.test(text))
        return undefined;
    const port = Number(text);
    return port <= 65_535 ? port : undefined;
}
/**
 * Parses `[user@]host[:port]` with IPv6 in brackets. Returns what is wrong as a string, so that the caller can
 * report all bad inputs together.
 */
function parseTarget(text, defaults) {
    const at = text.lastIndexOf('@');
    const user = at < 0 ? defaults.user : text.slice(0, at);
    const address = at < 0 ? text : text.slice(at + 1);
    if (user === '')
        return `'${text}' names no user: write user@${address} or set the input 'user'`;
    if (!isUserName(user))
        return `'${text}': '${user}' is not a user name`;
    const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^[\]:]+))(?::(.*))?$/.exec(address);
    if (!match) {
        const hint = (0,external_node_net_.isIP)(address) === 6 ? `write IPv6 in brackets: [${address}]` : 'write [user@]host[:port]';
        return `'${text}' is not a host: ${hint}`;
    }
    const host = match[1] ?? match[2] ?? '';
    if (match[1] !== undefined ? (0,external_node_net_.isIP)(host) !== 6 : !isHostName(host)) {
        return `'${text}' is not a host: write a name or an IP address`;
    }
    const port = match[3] === undefined ? defaults.port : parsePort(match[3]);
    if (port === undefined)
        return `'${text}': '${match[3]}' is not a port (1-65535)`;
    return { host, port, user };
}
/** Whether a text can be a login name (never an option, never shell syntax). */
function isUserName(text) {
    return USER_NAME.test(text);
}
function isHostName(text) {
    // Digits and dots alone must be a whole IPv4 address: `10.0.0` would be resolved to 10.0.0.0's neighbour.
    return /^[\d.]+$/.test(text) ? (0,external_node_net_.isIP)(text) === 4 : HOST_NAME.test(text);
}
/** `user@host` with the port where it is not 22, as one would type it. */
function formatTarget({ host, port, user }) {
    return `${user}@${formatAddress(host, port)}`;
}
/** `host`, `host:port` or `[v6]:port`; the port is left out where it is 22. */
function formatAddress(host, port) {
    const bracketed = (0,external_node_net_.isIP)(host) === 6 ? `[${host}]` : host;
    return port === 22 ? bracketed : `${bracketed}:${port}`;
}

;// CONCATENATED MODULE: ./src/ssh/connection.ts






const KEEP_BYTES = 1024 * 1024;
/** SSH_OPEN_ADMINISTRATIVELY_PROHIBITED */
const PROHIBITED = 1;
/** Further connections for a server that allows few sessions on one. */
const MAX_FURTHER = 3;
/** A logged-in connection to one server, its host key verified. */
class Connection {
    target;
    slowStart;
    #client;
    #prepared = new Map();
    #origin;
    #further = [];
    #apart = [];
    /** Of each channel on its way: tells that the connection has gone. */
    #opening = new Set();
    #lost;
    #closed = false;
    constructor(target, client, origin) {
        this.target = target;
        this.#origin = origin;
        this.#client = client;
        this.slowStart = new SlowStart(client, origin.roundTripMs, origin.willSendMuch);
        client.on('error', (error) => {
            this.#lost = error;
        });
        client.on('close', () => {
            this.#closed = true;
            this.slowStart.end();
            for (const gone of this.#opening)
                gone();
        });
    }
    /** Name for messages: user@host, with the port where it is not 22. */
    get name() {
        return formatTarget(this.target);
    }
    /** False once the connection is known to have gone. */
    get isOpen() {
        return !this.#closed;
    }
    get roundTripMs() {
        return this.#origin.roundTripMs;
    }
    /** Whether the server has refused several sessions on one connection. */
    get isNarrow() {
        return this.#further.length > 0;
    }
    /** Called once when the connection has gone, for whatever reason. */
    onClose(listener) {
        this.#client.once('close', listener);
    }
    close() {
        this.#client.end();
        for (const one of [...this.#further, ...this.#apart]) {
            one.then((connection) => connection.close(), () => { });
        }
    }
    /**
     * Runs one command line by the login shell. Everything variable in it must have gone through `quote`; prefer
     * `script`, which keeps values out of the process list. Resolves whatever the exit status is; rejects with a
     * `Failure` when the connection breaks before the status is known, since the command may then still run.
     */
    async exec(command, options = {}) {
        return collect(await this.start(command), options);
    }
    /**
     * Runs a POSIX shell script that travels over standard input: neither it nor its environment shows up in an
     * argument, a process list or a file. It runs with `set -e` in `cwd`, its own standard input is /dev/null.
     */
    script(text, options = {}) {
        const { command, stdin } = remoteScript(text, options);
        return this.exec(command, { ...options, stdin });
    }
    /**
     * As `script`, a round trip quicker, for a script in which nothing is secret: the server's process list shows it while
     * it runs.
     */
    openScript(text, options = {}) {
        return this.exec(openScript(text), options);
    }
    /**
     * Starts a command line ahead of its use: the next `start` of the same one finds it waiting for its input, which saves
     * the round trips of a new channel. For commands that do nothing before they get input. sshd allows 10 at a time.
     */
    prepare(command) {
        const ready = this.#startHere(command);
        ready.catch(() => { });
        this.#prepared.set(command, [...(this.#prepared.get(command) ?? []), ready]);
    }
    /**
     * Starts a command line and leaves its streams to the caller. What holds for `exec` holds here. Where the server
     * refuses a further session on this connection (MaxSessions), it runs on another one.
     */
    async start(command) {
        const ready = this.#prepared.get(command)?.shift();
        return ready === undefined ? this.#startNow(command) : ready.catch(() => this.#startNow(command));
    }
    /** Starts a command line on a connection of its own, which is closed with this one. */
    async startApart(command, why) {
        const next = this.#origin.again(why);
        this.#apart.push(next);
        return (await next).#startHere(command);
    }
    async #startNow(command) {
        try {
            return await this.#startHere(command);
        }
        catch (error) {
            if (!isSessionRefused(error))
                throw error;
        }
        for (const one of [...this.#further]) {
            try {
                return await (await one).#startHere(command);
            }
            catch (error) {
                if (!isSessionRefused(error) || this.#further.length === MAX_FURTHER)
                    throw error;
            }
        }
        const next = this.#origin.again('allows too few sessions on one connection (MaxSessions)');
        this.#further.push(next);
        return (await next).#startHere(command);
    }
    async #startHere(command) {
        let ended;
        const channel = await this.#open((done) => {
            this.#client.exec(command, (error, opened) => {
                // At once: a short command's exit status can come in the same packet as the channel.
                if (!error)
                    ended = this.#exitOf(opened);
                done(error, opened);
            });
        }, 'the server runs no commands for this user');
        if (ended === undefined)
            throw new TypeError('a channel was opened without its exit being awaited');
        ended.catch(() => { });
        return { channel, ended };
    }
    #exitOf(channel) {
        return new Promise((resolve, reject) => {
            let status;
            channel.once('exit', (code, signal) => {
                status = { code: code ?? undefined, signal: signal?.replace(/^SIG/, '') };
            });
            // A lost connection closes the channel too: only a status says that the command has ended.
            channel.once('close', () => (status ? resolve(status) : reject(this.#connectionLost())));
        });
    }
    /** A TCP connection from the server to an address as the server sees it. */
    openTcp(host, port) {
        return this.#open((done) => this.#client.forwardOut('127.0.0.1', 0, host, port, done), `the server opens no connection to ${formatAddress(host, port)}`);
    }
    /** Whether the server refuses to open connections to an address for this user (AllowTcpForwarding, PermitOpen). */
    async refusesTcp(host, port) {
        try {
            const channel = await this.openTcp(host, port);
            channel.on('error', () => { });
            channel.destroy();
            return false;
        }
        catch (error) {
            // RFC 4254, 5.1: a connection that fails has another reason.
            const { reason } = (error.details?.cause ?? {});
            return reason === PROHIBITED || reason === 'ADMINISTRATIVELY_PROHIBITED';
        }
    }
    /** A channel to a subsystem, such as `sftp`. A login without a shell may still have it. */
    openSubsystem(name) {
        return this.#open((done) => this.#client.subsys(name, done), `the server does not offer ${name} to this user`);
    }
    #open(start, what) {
        return new Promise((resolve, reject) => {
            if (this.#closed)
                return reject(this.#connectionLost());
            const gone = () => reject(this.#connectionLost());
            this.#opening.add(gone);
            try {
                start((error, channel) => {
                    this.#opening.delete(gone);
                    if (error)
                        reject(new src_failure/* Failure */.HR(what, { host: this.name, seen: (0,src_failure/* describeError */.Uc)(error), cause: error }));
                    else
                        resolve(channel);
                });
            }
            catch (error) {
                // ssh2 throws where nothing can be sent any more, which is so for a while before the connection is closed.
                this.#opening.delete(gone);
                this.#closed = true;
                this.#lost ??= error;
                gone();
            }
        });
    }
    #connectionLost() {
        return new src_failure/* Failure */.HR('the SSH connection broke', {
            host: this.name,
            seen: this.#lost ? (0,src_failure/* describeError */.Uc)(this.#lost) : 'the server closed it',
            state: 'whether the last command still runs there is not known.',
            hint: 'run the job again: it looks at the state of the server first',
            cause: this.#lost,
        });
    }
}
/** sshd's answer beyond MaxSessions; a login without any right to commands is told otherwise, or later. */
function isSessionRefused(error) {
    return error instanceof src_failure/* Failure */.HR && /channel open failure: open failed/i.test(error.details.seen ?? '');
}
async function collect({ channel, ended }, options) {
    const { signal, onLine, keepBytes = KEEP_BYTES } = options;
    const stdout = new OutputTail(keepBytes, onLine && ((line) => onLine(line, 'stdout')));
    const stderr = new OutputTail(keepBytes, onLine && ((line) => onLine(line, 'stderr')));
    channel.on('data', (chunk) => stdout.push(chunk));
    channel.stderr.on('data', (chunk) => stderr.push(chunk));
    // A process that ends before it has read its input breaks the pipe: its exit status tells more.
    channel.on('error', () => { });
    let abort = () => { };
    const aborted = new Promise((_resolve, reject) => {
        abort = () => {
            // The server answers a close only once the process has gone, which may be never.
            channel.close();
            if (signal)
                reject((0,src_context/* cancelled */.KW)(signal));
        };
    });
    if (signal?.aborted)
        abort();
    signal?.addEventListener('abort', abort, { once: true });
    channel.end(options.stdin ?? '');
    try {
        const status = await Promise.race([ended, aborted]);
        stdout.end();
        stderr.end();
        return { ...status, stdout: stdout.text, stderr: stderr.text };
    }
    finally {
        signal?.removeEventListener('abort', abort);
    }
}

;// CONCATENATED MODULE: ./src/ssh/early-login.ts

const HASHES = { 'rsa-sha2-256': 'sha256', 'rsa-sha2-512': 'sha512' };
/**
 * Sends the whole login at once where ssh2 waits twice in it: until the service is accepted, and then it asks whether the
 * key would do before it signs. Both are optional (RFC 4252, sections 5 and 7), and a server takes packets in their order.
 * To be called right after `connect`.
 */
function logInAtOnce(client, key, steps) {
    const innards = client;
    const protocol = innards._protocol;
    if (protocol === undefined)
        return;
    const handlers = protocol._handlers;
    const { SERVICE_ACCEPT: accept, EXT_INFO: extend, USERAUTH_SUCCESS: succeed } = handlers;
    const { CHANNEL_OPEN_CONFIRMATION: confirm } = handlers;
    const ask = protocol.authPK.bind(protocol);
    protocol.authPK = (user, offered, algorithm, sign) => {
        const signNow = (data, done) => {
            const signature = key.sign(data, HASHES[algorithm ?? '']);
            if (signature instanceof Error)
                ask(user, offered, algorithm);
            else
                done(signature);
        };
        ask(user, offered, algorithm, sign ?? signNow);
    };
    // Which signatures by an RSA key the server takes is in its extensions, as a rule right behind the key exchange.
    let mayStart = key.type !== 'ssh-rsa';
    handlers.EXT_INFO = (from, extensions) => {
        extend(from, extensions);
        mayStart = true;
    };
    let isStarted = false;
    // What is sent takes TCP's acknowledgement along: sshd keeps its next answer until this one is acknowledged (Nagle's
    // algorithm, until a session runs), and without anything to send that would take 40 ms.
    const acknowledge = () => sendIgnored(client, 0);
    handlers.USERAUTH_SUCCESS = (from) => {
        succeed(from);
        acknowledge();
    };
    handlers.CHANNEL_OPEN_CONFIRMATION = (from, channel) => {
        handlers.CHANNEL_OPEN_CONFIRMATION = confirm;
        confirm(from, channel);
        // Behind those that came with it.
        setImmediate(steps.opened);
    };
    const start = (from, service) => {
        if (isStarted) {
            acknowledge();
            steps.received();
            return;
        }
        isStarted = true;
        accept(from, service);
        steps.sent(innards._remoteVer?.startsWith('OpenSSH_') ?? false);
    };
    handlers.SERVICE_ACCEPT = start;
    // The event comes before the service is asked for, in the same turn.
    client.once('handshake', () => queueMicrotask(() => {
        if (mayStart)
            start(protocol, 'ssh-userauth');
    }));
}

;// CONCATENATED MODULE: ./src/ssh/known-hosts.ts

/** Parses known_hosts text; `problems` names each line that is not one. */
function parseKnownHosts(text) {
    const entries = [];
    const problems = [];
    for (const [index, raw] of text.split(/\r?\n/).entries()) {
        const line = raw.trim();
        if (line === '' || line.startsWith('#'))
            continue;
        const fields = line.split(/\s+/);
        const marker = fields[0]?.startsWith('@') ? fields.shift() : undefined;
        const [names, type, encoded] = fields;
        if (marker !== undefined && marker !== '@cert-authority' && marker !== '@revoked') {
            problems.push(`line ${index + 1}: unknown marker ${marker}`);
        }
        else if (names === undefined || type === undefined || encoded === undefined) {
            problems.push(`line ${index + 1} is not '<host> <key type> <key>' (as ssh-keyscan prints it)`);
        }
        else {
            const key = Buffer.from(encoded, 'base64');
            if (keyType(key) !== type)
                problems.push(`line ${index + 1}: the key is not a whole ${type} key`);
            else
                entries.push({ marker: marker?.slice(1), names, type, key });
        }
    }
    return { entries, problems };
}
/** The type that a public key in SSH wire format begins with (RFC 4253, 6.6), or '' when it is none. */
function keyType(key) {
    if (key.length < 8)
        return '';
    const length = key.readUInt32BE(0);
    return length <= 64 && key.length > 4 + length ? key.toString('latin1', 4, 4 + length) : '';
}
/** `SHA256:...` as ssh-keygen -lf prints it. */
function fingerprint(key) {
    return `SHA256:${(0,external_node_crypto_.createHash)('sha256').update(key).digest('base64').replace(/=+$/, '')}`;
}
/** The name under which OpenSSH looks a server up: the port is part of it where it is not 22. */
function knownHostsName(host, port) {
    const name = host.toLowerCase();
    return port === 22 ? name : `[${name}]:${port}`;
}
/** Whether a line is about this server. */
function matchesHost(entry, host, port) {
    const name = knownHostsName(host, port);
    if (entry.names.startsWith('|'))
        return matchesHashed(entry.names, name);
    let matched = false;
    for (const pattern of entry.names.toLowerCase().split(',')) {
        const negated = pattern.startsWith('!');
        if (!globMatches(negated ? pattern.slice(1) : pattern, name))
            continue;
        if (negated)
            return false;
        matched = true;
    }
    return matched;
}
/** OpenSSH's HashKnownHosts: HMAC-SHA1 of the name, keyed by the salt. */
function matchesHashed(names, name) {
    const [, version, salt, hash] = names.split('|');
    if (version !== '1' || salt === undefined || hash === undefined)
        return false;
    const wanted = Buffer.from(hash, 'base64');
    const actual = (0,external_node_crypto_.createHmac)('sha1', Buffer.from(salt, 'base64')).update(name).digest();
    return wanted.length === actual.length && (0,external_node_crypto_.timingSafeEqual)(wanted, actual);
}
/** `*` and `?` as in ssh_config(5), without backtracking into earlier stars, so that no pattern takes long. */
function globMatches(pattern, name) {
    let at = 0;
    let inPattern = 0;
    let star = -1;
    let resume = 0;
    while (at < name.length) {
        const wanted = pattern[inPattern];
        if (wanted === '*') {
            star = inPattern++;
            resume = at;
        }
        else if (wanted === '?' || wanted === name[at]) {
            inPattern++;
            at++;
        }
        else if (star >= 0) {
            inPattern = star + 1;
            at = ++resume;
        }
        else {
            return false;
        }
    }
    return /^\**$/.test(pattern.slice(inPattern));
}

;// CONCATENATED MODULE: ./src/ssh/host-keys.ts



/** Algorithms that prove possession of a key of each type. SHA-1 (`ssh-rsa`) is left out on purpose. */
const ALGORITHMS = {
    'ssh-ed25519': ['ssh-ed25519'],
    'ecdsa-sha2-nistp256': ['ecdsa-sha2-nistp256'],
    'ecdsa-sha2-nistp384': ['ecdsa-sha2-nistp384'],
    'ecdsa-sha2-nistp521': ['ecdsa-sha2-nistp521'],
    'ssh-rsa': ['rsa-sha2-512', 'rsa-sha2-256'],
};
/** Looks an offered key up. Pure: no key is ever learnt. */
function judgeHostKey(known, host, port, key) {
    const same = (entry) => entry.key.equals(key);
    const revoked = known.knownHosts.filter((entry) => entry.marker === 'revoked' && same(entry));
    if (revoked.some((entry) => matchesHost(entry, host, port) || matchesHost(entry, host, 22)))
        return 'revoked';
    const about = entriesAbout(known, host, port);
    if (about.some((entry) => entry.marker === undefined && same(entry)))
        return 'trusted';
    const trusted = fingerprintsFor(known, host, port);
    if (trusted.includes(fingerprint(key)))
        return 'trusted';
    return trusted.length > 0 || about.some((entry) => entry.marker === undefined) ? 'mismatch' : 'unknown';
}
/**
 * The host key algorithms to negotiate, as attempts to make one after the other. Only types that known_hosts has for
 * the host are offered (an ed25519 offer would fail a file that knows only RSA); a fingerprint does not tell its
 * type, so each is tried.
 */
function hostKeyAttempts(known, host, port) {
    const types = entriesAbout(known, host, port)
        .filter((entry) => entry.marker === undefined)
        .map((entry) => entry.type);
    const algorithms = Object.entries(ALGORITHMS);
    const wanted = algorithms.filter(([type]) => types.includes(type)).flatMap(([, names]) => names);
    if (wanted.length > 0)
        return [wanted];
    if (fingerprintsFor(known, host, port).length === 0)
        return [algorithms.flatMap(([, names]) => names)];
    const isEcdsa = (name) => name.startsWith('ecdsa');
    return [
        ['ssh-ed25519'],
        algorithms.flatMap(([, names]) => names).filter(isEcdsa),
        [...(ALGORITHMS['ssh-rsa'] ?? [])],
    ];
}
/** The error for a key that is not trusted. A mismatch never shows a line to paste. */
function hostKeyFailure(verdict, known, host, port, key) {
    const address = formatAddress(host, port);
    const type = keyType(key);
    const seen = `the server offers the ${type} key ${fingerprint(key)}`;
    const file = `/etc/ssh/ssh_host_${type.replace(/^ssh-|-sha2-nistp\d+$/g, '')}_key.pub`;
    const compare = `on the server's own console (not over this network) run: ssh-keygen -lf ${file}`;
    const state = 'nothing was sent to the server and nothing was changed.';
    if (verdict === 'unknown') {
        const authorities = entriesAbout(known, host, port).some((entry) => entry.marker === 'cert-authority');
        return new src_failure/* Failure */.HR('the host key is not known', {
            host: address,
            seen,
            state,
            hint: [
                `${compare}; if it prints the same fingerprint, add this line to the input 'known-hosts':`,
                `${knownHostsName(host, port)} ${type} ${key.toString('base64')}`,
                ...(authorities
                    ? ['(A @cert-authority line cannot be used: host certificates are not supported.)']
                    : []),
            ].join('\n'),
        });
    }
    const expected = verdict === 'revoked'
        ? 'known-hosts marks this very key as @revoked'
        : `expected ${expectedFingerprints(known, host, port).join(' or ')}`;
    return new src_failure/* Failure */.HR(verdict === 'revoked' ? 'the host key is revoked' : 'THE HOST KEY HAS CHANGED', {
        host: address,
        seen: `${seen}; ${expected}`,
        state,
        hint: 'somebody may be between you and the server, or the server was set up anew. Do not go on until its owner ' +
            `confirms the key: ${compare}`,
    });
}
function expectedFingerprints(known, host, port) {
    const lines = entriesAbout(known, host, port).filter((entry) => entry.marker === undefined);
    return [
        ...lines.map((entry) => `${entry.type} ${fingerprint(entry.key)}`),
        ...fingerprintsFor(known, host, port),
    ];
}
/** As OpenSSH: the name with its port first; a line without a port counts only where there is none with it. */
function entriesAbout(known, host, port) {
    const lines = known.knownHosts.filter((entry) => entry.marker !== 'revoked');
    const exact = lines.filter((entry) => matchesHost(entry, host, port));
    return exact.length > 0 || port === 22 ? exact : lines.filter((entry) => matchesHost(entry, host, 22));
}
function fingerprintsFor(known, host, port) {
    const names = [host.toLowerCase(), formatAddress(host, port).toLowerCase(), knownHostsName(host, port)];
    return known.fingerprints
        .filter((line) => line.host === undefined || names.includes(line.host.toLowerCase()))
        .map((line) => line.fingerprint);
}

// EXTERNAL MODULE: external "node:process"
var external_node_process_ = __webpack_require__(1708);
var external_node_process_default = /*#__PURE__*/__webpack_require__.n(external_node_process_);
;// CONCATENATED MODULE: ./src/ssh/packet-flow.ts


/**
 * Bytes that do not wait for the turn's end, until which they are held in memory. Less, and the server's sshd is woken more
 * often for the same.
 */
const ENOUGH = 1024 * 1024;
/**
 * Sends what is written in one turn of the event loop at once: ssh2 writes each packet in three parts, which would be
 * three system calls here and three wake-ups of the server's sshd.
 */
function joinWrites(socket) {
    const write = socket.write.bind(socket);
    socket.write = (...args) => {
        if (socket.writableCorked === 0) {
            socket.cork();
            external_node_process_default().nextTick(() => socket.uncork());
        }
        const mayGoOn = write(...args);
        if (socket.writableLength >= ENOUGH) {
            socket.uncork();
            socket.cork();
        }
        return mayGoOn;
    };
}
/** Takes from AES-GCM, as ssh2 uses it, what takes longer than to encrypt. After a change of keys it is as it was. */
function quickenCiphers(client) {
    const { _cipher: cipher, _decipher: decipher } = client._protocol ?? {};
    // They begin anew with each packet, and Node 24 takes long to find out that bytes are no key of its own kind.
    if (Buffer.isBuffer(cipher?._encKey)) {
        cipher._encKey = (0,external_node_crypto_.createSecretKey)(cipher._encKey);
        reuseMemory(cipher);
    }
    if (Buffer.isBuffer(decipher?._decipherKey))
        decipher._decipherKey = (0,external_node_crypto_.createSecretKey)(decipher._decipherKey);
}
const LARGE = 16 * 1024;
const LARGEST = 64 * 1024;
/** What is encrypted is a multiple of this (RFC 5647, 7.2), with at least 4 bytes of padding (RFC 4253, 6). */
const ALIGNMENT = 16;
const LEAST_PADDING = 4;
/**
 * Builds large packets, which are encrypted at once, in memory that is used again and with padding that is: ssh2 takes new
 * memory and random bytes for each. The padding protects nothing here, since no two packets are encrypted alike.
 */
function reuseMemory(cipher) {
    const memory = Buffer.allocUnsafeSlow(LARGEST);
    const padding = (0,external_node_crypto_.randomBytes)(2 * ALIGNMENT);
    const alloc = cipher.allocPacket.bind(cipher);
    const write = cipher._onWrite;
    cipher.allocPacket = (payloadBytes) => {
        if (payloadBytes < LARGE || payloadBytes > LARGEST - 3 * ALIGNMENT)
            return alloc(payloadBytes);
        let padBytes = ALIGNMENT - ((1 + payloadBytes) % ALIGNMENT);
        if (padBytes < LEAST_PADDING)
            padBytes += ALIGNMENT;
        const packet = memory.subarray(0, 4 + 1 + payloadBytes + padBytes);
        packet.writeUInt32BE(packet.length - 4);
        packet[4] = padBytes;
        packet.set(padding.subarray(0, padBytes), 5 + payloadBytes);
        return packet;
    };
    // Sent as it stands is only the length, which is copied: it may wait until the memory is used again.
    cipher._onWrite = (bytes) => write(bytes.buffer === memory.buffer ? Buffer.from(bytes) : bytes);
}

;// CONCATENATED MODULE: ./src/ssh/connect.ts









/** Dead links are noticed within about 15 s; ssh2 sends nothing by default and would hang. */
const KEEPALIVE = { keepaliveInterval: 5_000, keepaliveCountMax: 3 };
const DIAL_ATTEMPTS = 3;
const RETRY_DELAY_MS = 500;
/**
 * Logs in, through the jump host where there is one; each server's host key is verified before anything is sent.
 * Dialling is retried while the network refuses (nothing has been done yet); a wrong key or login never is.
 * Throws a `Failure` that says what to do.
 */
async function connect(target, credentials, context, ahead = {}) {
    const { jump } = credentials;
    const again = (why) => {
        context.log.info(`${formatTarget(target)} ${why}: another connection is made`);
        return connect(target, credentials, context);
    };
    if (jump === undefined) {
        return login(target, credentials.key, credentials, context, () => dialTcp(target, credentials, context), again, ahead);
    }
    const outer = await login(jump.target, jump.key, credentials, context, () => dialTcp(jump.target, credentials, context), again);
    try {
        const inner = await login(target, credentials.key, credentials, context, () => outer.openTcp(target.host, target.port), again, ahead);
        inner.onClose(() => outer.close());
        return inner;
    }
    catch (error) {
        outer.close();
        throw error;
    }
}
async function login(target, key, credentials, context, openSocket, again, ahead = {}) {
    const attempts = hostKeyAttempts(credentials.hostKeys, target.host, target.port);
    let rejected;
    for (const algorithms of attempts) {
        const outcome = await handshakeOrAgain(target, key, algorithms, credentials, context, openSocket, again, ahead);
        if (outcome instanceof Connection)
            return outcome;
        // Of several attempts, a key that was offered and refused says more than a type the server does not have.
        if (outcome.why === 'untrusted' || rejected === undefined)
            rejected = outcome;
        if (outcome.why !== 'untrusted' && outcome.why !== 'no common key')
            break;
    }
    throw rejected?.failure;
}
/** A busy sshd (MaxStartups) drops connections before it has said anything: nothing is done yet, so try again. */
async function handshakeOrAgain(target, key, algorithms, credentials, context, openSocket, again, ahead) {
    for (let attempt = 1;; attempt++) {
        (0,src_context/* throwIfCancelled */.dZ)(context.signal);
        const begun = context.clock.monotonic();
        const socket = await openSocket();
        const isHere = socket instanceof external_node_net_.Socket && socket.remoteAddress === socket.localAddress;
        const roundTripMs = isHere ? 0 : context.clock.monotonic() - begun;
        const origin = { roundTripMs, again, willSendMuch: ahead.willSendMuch };
        const outcome = await handshake(socket, target, key, algorithms, credentials, context, origin, ahead);
        if (outcome instanceof Connection || outcome.why !== 'dropped' || attempt === DIAL_ATTEMPTS)
            return outcome;
        context.log.debug(`${formatTarget(target)}: ${outcome.failure.details.seen}; trying again`);
        await context.clock.sleep(RETRY_DELAY_MS * attempt, context.signal);
    }
}
async function handshake(socket, target, key, algorithms, credentials, context, origin, ahead) {
    const { host, port, user } = target;
    const { hostKeys, connectTimeoutMs } = credentials;
    const ssh = new esm/* NodeSSH */.H();
    let untrusted;
    let offeredKey = false;
    const keys = [key];
    const abort = () => socket.destroy();
    context.signal.addEventListener('abort', abort, { once: true });
    try {
        const ready = ssh.connect({
            sock: socket,
            host,
            port,
            username: user,
            readyTimeout: connectTimeoutMs,
            ...KEEPALIVE,
            algorithms: { serverHostKey: algorithms },
            hostVerifier: (offered) => {
                offeredKey = true;
                const verdict = judgeHostKey(hostKeys, host, port, offered);
                if (verdict !== 'trusted')
                    untrusted = hostKeyFailure(verdict, hostKeys, host, port, offered);
                return verdict === 'trusted';
            },
            // One method, tried once: each refused attempt counts towards the server's MaxAuthTries and fail2ban.
            authHandler: (_left, _partial, next) => {
                const offer = keys.shift();
                next(offer === undefined ? false : { type: 'publickey', username: user, key: offer });
            },
        });
        const client = ssh.connection;
        if (client === null)
            throw new src_failure/* Failure */.HR('the connection was closed before the login', { host });
        const connection = new Connection(target, client, origin);
        const prepare = () => {
            for (const command of ahead.commands?.() ?? [])
                connection.prepare(command);
        };
        let isPrepared = false;
        client.once('handshake', () => quickenCiphers(client));
        logInAtOnce(client, key, {
            sent(isOpenSsh) {
                isPrepared = isOpenSsh;
                if (!isOpenSsh)
                    return;
                prepare();
                connection.slowStart.push();
            },
            received() {
                if (isPrepared)
                    connection.slowStart.push();
            },
            opened: () => connection.slowStart.keepPushing(),
        });
        await ready;
        if (!isPrepared)
            prepare();
        return connection;
    }
    catch (error) {
        socket.destroy();
        if (context.signal.aborted)
            throw (0,src_context/* cancelled */.KW)(context.signal);
        if (untrusted !== undefined)
            return { failure: untrusted, why: 'untrusted' };
        const failure = loginFailure(error, target, credentials, algorithms);
        const seen = (0,src_failure/* describeError */.Uc)(error);
        if (/no matching host key/i.test(seen))
            return { failure, why: 'no common key' };
        const dropped = !offeredKey && /ECONNRESET|EPIPE|before handshake|No response/i.test(seen);
        return { failure, why: dropped ? 'dropped' : 'refused' };
    }
    finally {
        context.signal.removeEventListener('abort', abort);
    }
}
function loginFailure(error, target, credentials, algorithms) {
    const seen = (0,src_failure/* describeError */.Uc)(error);
    const details = { host: formatTarget(target), seen, state: 'nothing was changed there.', cause: error };
    if (/authentication methods failed/i.test(seen)) {
        return new src_failure/* Failure */.HR('the server refused the login', {
            ...details,
            hint: `put the key's public half into ~${target.user}/.ssh/authorized_keys on the server (ssh-keygen -y -f <key file> prints it), and check the user name`,
        });
    }
    if (/no matching host key/i.test(seen)) {
        return new src_failure/* Failure */.HR('the server has no host key of a type that is known for it', {
            ...details,
            hint: `known are: ${algorithms.join(', ')}. Print the server's keys on its own console: cat /etc/ssh/ssh_host_*_key.pub`,
        });
    }
    if (/no matching (key exchange|cipher|C->S|S->C)/i.test(seen)) {
        return new src_failure/* Failure */.HR('the server and this client have no algorithm in common', {
            ...details,
            hint: 'allow curve25519-sha256 and aes128-gcm@openssh.com in the sshd_config of the server',
        });
    }
    if (/timed out|ETIMEDOUT|No response/i.test(seen)) {
        return new src_failure/* Failure */.HR(`no SSH handshake within ${credentials.connectTimeoutMs} ms`, {
            ...details,
            hint: "check that an SSH server listens there, a firewall between, or raise the input 'connect-timeout'",
        });
    }
    return new src_failure/* Failure */.HR('the SSH connection could not be made', {
        ...details,
        hint: 'try it by hand: ssh -v -p PORT USER@HOST true',
    });
}
async function dialTcp(target, credentials, context) {
    for (let attempt = 1;; attempt++) {
        try {
            return await dialOnce(target, credentials.connectTimeoutMs, context.signal);
        }
        catch (error) {
            (0,src_context/* throwIfCancelled */.dZ)(context.signal);
            const permanent = /ENOTFOUND|EINVAL/.test((0,src_failure/* describeError */.Uc)(error));
            if (attempt === DIAL_ATTEMPTS || permanent)
                throw dialFailure(error, target, attempt);
            context.log.debug(`${formatTarget(target)}: ${(0,src_failure/* describeError */.Uc)(error)}; trying again`);
            await context.clock.sleep(RETRY_DELAY_MS * attempt, context.signal);
        }
    }
}
function dialFailure(error, target, attempts) {
    const seen = (0,src_failure/* describeError */.Uc)(error);
    const hints = {
        ENOTFOUND: 'the name does not resolve here: check it, or give the IP address',
        ECONNREFUSED: `nothing listens on port ${target.port}: check the port and that sshd runs`,
        EHOSTUNREACH: 'the runner has no route to it: use a runner inside that network, or the input jump',
        ENETUNREACH: 'the runner has no route to it (IPv6 is missing on GitHub-hosted runners)',
    };
    const code = Object.keys(hints).find((name) => seen.includes(name));
    return new src_failure/* Failure */.HR(`cannot connect (${attempts} ${attempts === 1 ? 'attempt' : 'attempts'})`, {
        host: formatTarget(target),
        seen,
        state: 'nothing was changed there.',
        hint: hints[code ?? ''] ?? 'check the address, the firewall between, and that the server is up',
        cause: error,
    });
}
function dialOnce({ host, port }, timeoutMs, signal) {
    return new Promise((resolve, reject) => {
        // The signal is for dialling only: after a cancel the connection is what things are put right through.
        const socket = (0,external_node_net_.connect)({ host, port, noDelay: true });
        const abort = () => socket.destroy((0,src_context/* cancelled */.KW)(signal));
        signal.addEventListener('abort', abort, { once: true });
        const timer = setTimeout(() => socket.destroy(new Error(`ETIMEDOUT: no answer from ${formatAddress(host, port)} in ${timeoutMs} ms`)), timeoutMs);
        socket.once('connect', () => {
            clearTimeout(timer);
            signal.removeEventListener('abort', abort);
            socket.removeListener('error', reject);
            joinWrites(socket);
            resolve(socket);
        });
        socket.once('error', reject);
        socket.once('close', () => {
            clearTimeout(timer);
            signal.removeEventListener('abort', abort);
        });
    });
}

;// CONCATENATED MODULE: ./src/actions/site-health.ts






/** Inputs of the health check that need a shell on the server of the site. */
function healthNeeds({ check, from }) {
    return check?.kind === 'command' && from === 'node' ? ['health-command'] : [];
}
/** Throws where a login that has only SFTP may not ask from its server either: that shows before, not afterwards. */
async function checkVantage(hosts, { check, from }) {
    if (check === undefined || check.kind === 'command' || from !== 'node')
        return;
    await onEach(hosts, async ({ connection, hasShell, name }) => {
        if (hasShell)
            return;
        const url = check.kind === 'http' ? new URL((0,health_check/* expandUrl */.Uu)(check.url, { name: connection.target.host })) : undefined;
        const port = check.kind === 'tcp' ? check.port : Number(url?.port || (url?.protocol === 'https:' ? 443 : 80));
        if (!(await connection.refusesTcp(url?.hostname ?? '127.0.0.1', port)))
            return;
        throw new src_failure/* Failure */.HR('the server forwards no connections for this user, so its health cannot be asked there', {
            host: name,
            seen: 'administratively prohibited (AllowTcpForwarding or PermitOpen in the sshd_config)',
            state: 'nothing was activated.',
            hint: 'set `health-from: runner`, or allow it there',
        });
    });
}
/** The health check of a site after its activation; undefined where none is asked for. */
function siteHealthCheck({ check, policy, from }, credentials, { target, release }) {
    if (check === undefined)
        return undefined;
    return async (host, context) => {
        // Loaded only where it is needed: the HTTP client in it takes as long to load as all the rest.
        const { makeProbe } = await Promise.all(/* import() */[__webpack_require__.e(752), __webpack_require__.e(991)]).then(__webpack_require__.bind(__webpack_require__, 3991));
        const here = { ...context, log: (0,src_context/* prefixedLog */.Qc)(context.log, host.name) };
        const other = typeof from === 'string' ? undefined : await connect(from, credentials, context);
        try {
            const vantage = other ?? (from === 'runner' ? 'runner' : host.connection);
            const probe = makeProbe(check, vantage, {
                placeholders: { name: host.connection.target.host },
                tcpHost: from === 'node' ? '127.0.0.1' : host.connection.target.host,
                env: { EVENKEEL_RELEASE: release },
                cwd: target,
            });
            const asked = (signal) => {
                if (vantage === 'runner' || vantage.isOpen)
                    return probe(signal);
                throw new src_failure/* Failure */.HR('the connection broke while the health was asked', {
                    host: vantage.name,
                    hint: 'run the job again: it looks at the state of the server first',
                });
            };
            const { healthy, last, attempts } = await pollHealth(asked, policy, here);
            if (healthy)
                return;
            throw new src_failure/* Failure */.HR(`release ${release} is not healthy after ${attempts} probes`, {
                host: host.name,
                seen: describeAnswer(last),
                hint: 'look at what was served meanwhile: the log of the web server, and the files of that release',
            });
        }
        finally {
            other?.close();
        }
    };
}

;// CONCATENATED MODULE: ./src/actions/site-settle.ts








/** How long to wait for what the killed step left running on a server. */
const LOCK_WAIT_MS = 10_000;
/** Connects to all hosts at once. On a failure those that were reached are closed again. */
async function openHosts(hosts, credentials, settings, context, { beginning, sends = false, ...ahead }) {
    const results = await Promise.allSettled(hosts.map(async (host) => {
        let opening;
        const commands = () => {
            // Of several, none is touched before all have been reached.
            const options = hosts.length === 1 ? beginning() : undefined;
            opening = options && ShellSite.opening(settings, options);
            return [opening?.command ?? SHELL_COMMAND, ...(sends ? [SHELL_COMMAND] : [])];
        };
        const connection = await connect(host, credentials, context, { ...ahead, commands });
        return openSite(connection, settings, context, opening);
    }));
    const opened = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    if (opened.length < hosts.length)
        await Promise.all(opened.map((host) => host.close()));
    return allOf(results);
}
/** The settings of a step on a site, with a new token. */
function siteSettings(run, { target, dryRun, mode, needsShell }) {
    const holder = run.github.runUrl || `a run by ${run.github.actor || 'hand'}`;
    return { target, mode, holder, token: (0,external_node_crypto_.randomBytes)(12).toString('hex'), dryRun, needsShell };
}
/** After a cancel or a kill: sweeps the lock of that step away, repairs a half-made activation, says what stands. */
async function settleSite(run, state, inputs) {
    if (inputs.dryRun)
        return;
    const { context } = run;
    const { token } = state;
    const settings = siteSettings(run, { ...inputs, needsShell: [] });
    const options = { lockWaitMs: LOCK_WAIT_MS, own: token };
    const hosts = await openHosts(inputs.hosts, inputs.credentials, settings, context, {
        beginning: () => options,
    });
    try {
        const opened = await beginOn(hosts, options, context);
        await repair(hosts, opened.map((one) => one.state), context);
        reportMix(hosts, context);
        for (const host of hosts)
            context.log.info(`${host.name} serves ${served(host.current)}`);
    }
    finally {
        await Promise.all(hosts.map((host) => host.close()));
    }
}
/** Unix time in seconds. */
function unixTime(clock = src_context/* systemClock */.ml) {
    return Math.floor(clock.now() / 1000);
}

// EXTERNAL MODULE: ./src/release/file-mode.ts
var file_mode = __webpack_require__(5331);
;// CONCATENATED MODULE: ./src/release/site-path.ts
/** Release ids are folder names on the server: plain ones, so that they can be listed and typed. */
function releaseProblem(release) {
    if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(release))
        return undefined;
    return `is '${release}': write up to 100 letters, digits, dots, dashes and underscores, the first a letter or digit`;
}
/** Checks the site's root on the server; returns what is wrong with it, or undefined. */
function targetProblem(target) {
    if (/\p{Cc}/u.test(target))
        return 'holds a control character';
    if (target.startsWith('~'))
        return `is '${target}': write the whole path, '~' is not expanded`;
    if (!target.startsWith('/'))
        return `is '${target}', a relative path: write one that begins with /`;
    const parts = target.split('/').filter((part) => part !== '' && part !== '.');
    if (parts.includes('..'))
        return `is '${target}': '..' is not allowed in it`;
    if (parts.length === 0)
        return "is '/': write the folder of the site";
    return undefined;
}
/** The one spelling of a target that `targetProblem` accepts. */
function normalTarget(target) {
    return `/${target
        .split('/')
        .filter((part) => part !== '' && part !== '.')
        .join('/')}`;
}
/** Checks a path of `linked`. */
function linkedProblem(path) {
    if (/\p{Cc}/u.test(path) || path.startsWith('/'))
        return 'write a path relative to the site';
    const parts = path.replace(/\/$/, '').split('/');
    if (parts.some((part) => part === '' || part === '.' || part === '..')) {
        return "write it without '.', '..' and empty parts";
    }
    return undefined;
}

// EXTERNAL MODULE: ./node_modules/ssh2/lib/index.js
var lib = __webpack_require__(5472);
var lib_default = /*#__PURE__*/__webpack_require__.n(lib);
;// CONCATENATED MODULE: ./src/ssh/private-key.ts



const KEEP = 'give the whole file, from -----BEGIN to -----END, as the secret';
/**
 * Reads a private key as people paste it: OpenSSH or PEM, CRLF, no final newline, literal `\n`, PKCS#8.
 * Throws a `Failure` that says what is wrong with the key; never shows a part of it.
 */
function readPrivateKey(text, passphrase) {
    const repaired = private_key_repair(text);
    if (!/^-----BEGIN [A-Z0-9 ]+-----\n/.test(repaired)) {
        const what = /^(ssh-|ecdsa-)/.test(repaired) ? 'a public key' : 'not a private key';
        throw new src_failure/* Failure */.HR(`the private key is ${what}`, { hint: KEEP });
    }
    if (repaired.startsWith('-----BEGIN ENCRYPTED PRIVATE KEY') && passphrase === '')
        throw needsPassphrase();
    const parsed = lib_default().utils.parseKey(fromPkcs8(repaired, passphrase), passphrase || undefined);
    if (!(parsed instanceof Error)) {
        const key = Array.isArray(parsed) ? parsed[0] : parsed;
        if (key?.isPrivateKey())
            return key;
        throw new src_failure/* Failure */.HR('the private key is a public key', { hint: KEEP });
    }
    if (/no passphrase given/i.test(parsed.message))
        throw needsPassphrase();
    if (/bad passphrase|bad decrypt|integrity/i.test(parsed.message)) {
        throw new src_failure/* Failure */.HR("the input 'passphrase' does not fit the private key", {
            hint: 'check it with: ssh-keygen -y -f <key file>',
        });
    }
    throw new src_failure/* Failure */.HR('the private key cannot be read', {
        seen: parsed.message,
        hint: `${KEEP}. Its format must be OpenSSH or PEM; a key encrypted with chacha20 must be converted: ssh-keygen -p -Z aes256-ctr -f <key file>`,
    });
}
function needsPassphrase() {
    return new src_failure/* Failure */.HR('the private key needs a passphrase', {
        hint: "give it as the input 'passphrase' (from a secret), or use a deploy key without one",
    });
}
/** Undoes what secret stores and copy-and-paste do to a key's line ends. */
function private_key_repair(text) {
    const lines = text.replaceAll('\r', '').replaceAll('\\n', '\n').trim();
    const flat = /^(-----BEGIN [A-Z0-9 ]+-----) (.+) (-----END [A-Z0-9 ]+-----)$/.exec(lines);
    return `${flat ? `${flat[1]}\n${flat[2]?.replaceAll(' ', '\n')}\n${flat[3]}` : lines}\n`;
}
/** ssh2 reads no PKCS#8 (openssl's default since 3.0); the older PEM forms it does. */
function fromPkcs8(pem, passphrase) {
    if (!/^-----BEGIN (ENCRYPTED )?PRIVATE KEY-----/.test(pem))
        return pem;
    try {
        const key = (0,external_node_crypto_.createPrivateKey)({ key: pem, ...(passphrase === '' ? {} : { passphrase }) });
        const type = key.asymmetricKeyType === 'ec' ? 'sec1' : 'pkcs1';
        return key.export({ format: 'pem', type });
    }
    catch (error) {
        throw new src_failure/* Failure */.HR('the private key is PKCS#8 and cannot be converted', {
            seen: error instanceof Error ? error.message : String(error),
            hint: 'check the passphrase, or make an OpenSSH key: ssh-keygen -t ed25519',
            cause: error,
        });
    }
}

;// CONCATENATED MODULE: ./src/actions/ssh-inputs.ts




/** Reads `host` and all SSH inputs of an action that logs in to each host. */
function readSshInputs(read) {
    const hosts = readHosts(read, { required: true });
    return { hosts, credentials: readCredentials(read, hosts) };
}
/** Reads `host`: a line or a comma each. Where nobody logs in, no user need be named. */
function readHosts(read, { required, login = true }) {
    const user = read.text('user');
    if (user !== '' && !isUserName(user))
        read.problem('user', `is '${user}', not a user name`);
    const texts = read.lines('host').flatMap((line) => line
        .split(',')
        .map((item) => item.trim())
        .filter(Boolean));
    if (texts.length === 0 && required)
        read.problem('host', 'is required and empty');
    const hosts = texts.flatMap((text) => readTarget(read, 'host', text, login ? '' : 'nobody'));
    const names = hosts.map(formatTarget);
    const twice = names.find((name, index) => names.indexOf(name) !== index);
    if (twice !== undefined)
        read.problem('host', `names ${twice} twice`);
    return hosts;
}
/** One `[user@]host[:port]` in an input, with the defaults of `user` and `port`; [] where it is none. */
function readTarget(read, input, text, fallbackUser = '') {
    const port = parsePort(read.text('port')) ?? 22;
    const target = parseTarget(text, { user: read.text('user') || fallbackUser, port });
    if (typeof target !== 'string')
        return [target];
    read.problem(input, target);
    return [];
}
function readCredentials(read, targets, { required } = { required: true }) {
    const port = read.text('port');
    if (port !== '' && parsePort(port) === undefined)
        read.problem('port', `is '${port}', not a port (1-65535)`);
    const passphrase = read.secret('passphrase');
    const key = readKey(read, 'private-key', passphrase, required);
    const jumpText = read.optional('jump');
    const jumpTarget = jumpText === undefined ? undefined : readTarget(read, 'jump', jumpText)[0];
    const jumpKey = readKey(read, 'jump-private-key', passphrase, false) ?? key;
    if (jumpText === undefined && read.text('jump-private-key') !== '') {
        read.problem('jump-private-key', 'is given without `jump`');
    }
    const { entries, problems } = parseKnownHosts(read.text('known-hosts'));
    for (const problem of problems)
        read.problem('known-hosts', problem);
    const fingerprints = readFingerprints(read, targets, jumpTarget !== undefined);
    if (entries.length > 0 && fingerprints.length > 0) {
        read.problem('host-fingerprint', 'and `known-hosts` are both given: give one of them');
    }
    const connectTimeoutMs = read.duration('connect-timeout');
    const jump = jumpTarget && jumpKey ? { target: jumpTarget, key: jumpKey } : undefined;
    // A required key that is missing or broken has been noted as a problem: these credentials are never used.
    if (key === undefined)
        return undefined;
    return { key, hostKeys: { knownHosts: entries, fingerprints }, jump, connectTimeoutMs };
}
function readKey(read, name, passphrase, required) {
    const text = read.secret(name, { required });
    if (text === '')
        return undefined;
    try {
        return readPrivateKey(text, passphrase);
    }
    catch (error) {
        if (!(error instanceof src_failure/* Failure */.HR))
            throw error;
        const { seen, hint } = error.details;
        read.problem(name, `${error.message}${seen ? ` (${seen})` : ''}: ${hint}`);
        return undefined;
    }
}
function readFingerprints(read, targets, jump) {
    return read.lines('host-fingerprint').flatMap((line) => {
        const match = /^(?:(\S+)\s+)?(SHA256:[A-Za-z0-9+/]{43})=?$/.exec(line);
        if (!match?.[2]) {
            read.problem('host-fingerprint', `'${line}' is not '<host> SHA256:...' (as ssh-keygen -lf prints it)`);
            return [];
        }
        if (match[1] === undefined && (targets.length !== 1 || jump)) {
            read.problem('host-fingerprint', `'${line}' must begin with the host it belongs to`);
        }
        return [{ host: match[1], fingerprint: match[2] }];
    });
}

;// CONCATENATED MODULE: ./src/actions/health-inputs.ts



/** Reads the health inputs; `placeholders` are those that its URLs may hold. */
function readHealthInputs(read, placeholders, { required = false } = {}) {
    const given = ['health-url', 'health-command', 'health-tcp'].filter((name) => read.text(name) !== '');
    if (given.length > 1)
        read.problem(given[1] ?? '', `and \`${given[0]}\` are both given: give one of them`);
    if (given.length === 0 && required) {
        read.problem('health-url', 'is empty: give one of `health-url`, `health-command` and `health-tcp`');
    }
    const from = readFrom(read);
    const check = readCheck(read, placeholders);
    if (check?.kind === 'command' && from === 'runner') {
        read.problem('health-from', 'is `runner`, but `health-command` runs on a server: write `node` or an SSH target');
    }
    const policy = {
        intervalMs: read.duration('health-interval'),
        timeoutMs: read.duration('health-timeout'),
        threshold: read.integer('healthy-threshold', { min: 1, max: 1000 }),
    };
    return { check, policy, from };
}
function readFrom(read) {
    const text = read.text('health-from');
    if (text === 'node' || text === 'runner')
        return text;
    return readTarget(read, 'health-from', text)[0] ?? 'node';
}
function readCheck(read, placeholders) {
    const url = read.text('health-url');
    const command = read.text('health-command');
    const tcp = read.text('health-tcp');
    const expectStatus = (0,health_check/* parseStatusRanges */.C2)(read.text('expect-status'));
    if (expectStatus === undefined) {
        read.problem('expect-status', `is '${read.text('expect-status')}': write 200, 200-399 or 200,301`);
    }
    const expectBody = read.optional('expect-body');
    if (url !== '') {
        const problem = (0,health_check/* urlProblem */.rn)(url, placeholders);
        if (problem)
            read.problem('health-url', problem);
        return { kind: 'http', url, expectStatus: expectStatus ?? [], expectBody };
    }
    if (command !== '')
        return { kind: 'command', command };
    if (tcp === '')
        return undefined;
    const port = parsePort(tcp);
    if (port === undefined)
        read.problem('health-tcp', `is '${tcp}', not a port (1-65535)`);
    return { kind: 'tcp', port: port ?? 0 };
}

// EXTERNAL MODULE: ./src/actions/scp-static-upload/source-inputs.ts
var source_inputs = __webpack_require__(1242);
;// CONCATENATED MODULE: ./src/actions/scp-static-upload/inputs.ts






/** Reads all inputs; `workspace` is what a relative `source` is relative to. */
function readUploadInputs(read, { workspace, defaultRelease }) {
    const mode = read.choice('mode', ['atomic', 'in-place']);
    const deletion = read.choice('delete', ['false', 'true', 'all']);
    const activate = read.boolean('activate');
    if (mode === 'atomic' && deletion !== 'false') {
        read.problem('delete', `is '${deletion}', which is for \`mode: in-place\`: a release holds only its own files`);
    }
    if (mode === 'in-place' && read.text('linked') !== '') {
        read.problem('linked', 'is for `mode: atomic`: in place, what is not uploaded stays where it is');
    }
    if (mode === 'in-place' && !activate) {
        read.problem('activate', 'is false, which is for `mode: atomic`: in place there is nothing to activate later');
    }
    return {
        mode,
        deletion,
        ...readSshInputs(read),
        source: readSource(read, workspace),
        target: readSiteTarget(read),
        release: readRelease(read, 'release', defaultRelease),
        activate,
        keepReleases: read.integer('keep-releases', { min: 1, max: 1000 }),
        keepAssets: read.lines('keep-assets'),
        linked: readLinked(read),
        owner: readOwner(read),
        beforeActivate: read.text('before-activate'),
        afterActivate: read.text('after-activate'),
        health: readHealthInputs(read, ['name']),
        lockWaitMs: read.duration('lock-wait'),
        full: read.choice('verify', ['manifest', 'full']) === 'full',
        dryRun: read.boolean('dry-run'),
    };
}
/** Reads `target`. */
function readSiteTarget(read) {
    const target = read.required('target');
    if (target === '')
        return target;
    const problem = targetProblem(target);
    if (problem !== undefined)
        read.problem('target', problem);
    return normalTarget(target);
}
function readRelease(read, name, fallback) {
    const release = read.text(name) || fallback;
    const problem = releaseProblem(release);
    if (problem !== undefined)
        read.problem(name, problem);
    return release;
}
function readSource(read, workspace) {
    const order = (0,source_inputs/* readSourceOrder */.c)(read, workspace);
    const { folder, chmod } = order;
    if (chmod !== '' && (0,file_mode/* parseModeChange */.$)(chmod) === undefined) {
        read.problem('chmod', `is '${chmod}': write a mode such as 644, or u=rwX,go=rX`);
    }
    const text = read.required('source');
    if (text === '')
        return order;
    try {
        if (!(0,external_node_fs_.statSync)(folder).isDirectory())
            read.problem('source', `is '${text}', which is a file: give a folder`);
        else if ((0,external_node_fs_.readdirSync)(folder).length === 0)
            read.problem('source', `is '${text}', an empty folder: did the build run?`);
    }
    catch (error) {
        const { code } = error;
        const why = code === 'ENOENT' ? 'which does not exist' : `which cannot be read (${code})`;
        read.problem('source', `is '${text}', ${why}: the path is relative to the workspace, ${workspace}`);
    }
    return order;
}
function readLinked(read) {
    const paths = read.lines('linked');
    for (const path of paths) {
        const problem = linkedProblem(path);
        if (problem !== undefined)
            read.problem('linked', `has '${path}': ${problem}`);
    }
    return paths;
}
function readOwner(read) {
    const owner = read.text('chown');
    const name = '[A-Za-z0-9_][A-Za-z0-9_.-]*\\$?';
    if (owner !== '' && !new RegExp(`^(${name})?(:(${name})?)?$`).test(owner)) {
        read.problem('chown', `is '${owner}': write user, user:group or :group`);
    }
    return owner;
}

;// CONCATENATED MODULE: ./src/actions/scp-static-upload/report.ts



/** Writes the outputs, the log's last lines and the summary. */
async function reportUpload(run, report) {
    const { inputs, staged, previous, changed, files, connectedMs, durationMs } = report;
    const most = (pick) => Math.max(...staged.map(pick));
    const sum = (pick) => staged.reduce((total, one) => total + pick(one), 0);
    run.output('release', inputs.release);
    run.output('previous-release', previous);
    run.output('files', files);
    run.output('files-sent', most(({ filesSent }) => filesSent));
    run.output('bytes-sent', sum(({ bytesOnWire }) => bytesOnWire));
    run.output('changed', changed);
    run.output('duration-ms', Math.round(durationMs));
    run.output('report', JSON.stringify({ release: inputs.release, previous, changed, hosts: staged.map(rounded) }));
    const plan = inputs.dryRun ? ' (dry run: nothing was changed)' : '';
    run.context.log.info(`done in ${(0,duration/* formatDuration */.a)(durationMs)}${plan}`);
    await writeSummary(`### Static upload: release ${plainMarkdown(inputs.release)}${plan}\n\n${table(report)}\n\nTook ${(0,duration/* formatDuration */.a)(durationMs)}, of which ${(0,duration/* formatDuration */.a)(connectedMs)} to connect; before it: ${plainMarkdown(previous) || 'none'}.\n${sftpNote(staged)}`);
}
/** What differs where a login has SFTP and no shell. */
function sftpNote(staged) {
    const hosts = staged.filter(({ codec }) => codec === 'sftp').map(({ host }) => host);
    if (hosts.length === 0)
        return '';
    const checked = staged.some(({ codec, verified }) => codec === 'sftp' && verified === 'sizes')
        ? 'sizes and number of files were checked, contents were not read back'
        : 'contents were read back and compared';
    return `\nThrough SFTP, without a shell: ${hosts.map(plainMarkdown).join(', ')} (${checked}).\n`;
}
function table({ staged, serves }) {
    const header = [
        'host',
        'added',
        'changed',
        'removed',
        'unchanged',
        'on the wire',
        'site',
        'compare / send / verify',
        'serves',
    ];
    const rows = staged.map((one, index) => [
        one.host,
        String(one.added),
        String(one.changed),
        String(one.removed),
        String(one.unchanged),
        `${(0,release_progress/* formatBytes */.z)(one.bytesOnWire)} (${one.codec})`,
        (0,release_progress/* formatBytes */.z)(one.siteBytes),
        [one.comparedMs, one.sentMs, one.verifiedMs].map(duration/* formatDuration */.a).join(' / '),
        serves[index] ?? '',
    ]);
    return markdownTable(header, rows);
}
function rounded(report) {
    const { comparedMs, sentMs, verifiedMs } = report;
    return {
        ...report,
        comparedMs: Math.round(comparedMs),
        sentMs: Math.round(sentMs),
        verifiedMs: Math.round(verifiedMs),
    };
}

;// CONCATENATED MODULE: ./src/actions/scp-static-upload/main.ts














/** A site of so many bytes is worth some on the way to it. */
const MUCH = 4_000_000;
/** Runs the action, whose source folder `reader` reads. */
function runUpload(reader) {
    void runAction(scpStaticUpload(reader));
}
const scpStaticUpload = (reader) => ({
    async main(run) {
        const started = run.context.clock.monotonic();
        const inputs = main_readInputs(run);
        const settings = siteSettings(run, { ...inputs, needsShell: shellNeeds(inputs) });
        run.saveState({ token: settings.token });
        const { context } = run;
        // Both at once: the servers are reached and answer while the files are listed and read.
        let files;
        const outlook = {
            beginning: () => (files === undefined ? undefined : beginOptions(inputs)),
            sends: !inputs.dryRun,
            willSendMuch: () => !inputs.dryRun && files !== undefined && files.total.bytes >= MUCH,
        };
        const opening = openHosts(inputs.hosts, inputs.credentials, settings, context, outlook);
        opening.catch(() => { });
        const tree = await closingOnFailure(opening, async () => {
            const listed = await listSource(reader, context.signal);
            checkLinked(listed.manifest, inputs.linked);
            files = listed.manifest;
            return listed;
        });
        // Their failures are taken up below; until then they must not count as unhandled.
        compressibility(tree.manifest, tree).catch(() => { });
        const read = () => context.log.debug(`all ${tree.files} files have been read and hashed`);
        tree.hash().then(read, () => { });
        const hosts = await opening;
        try {
            const connectedMs = context.clock.monotonic() - started;
            const opened = await begin(hosts, inputs, context);
            await checkVantage(hosts, inputs.health);
            const needsAll = inputs.dryRun ||
                inputs.linked.length > 0 ||
                hosts.some((host, index) => needsContents(host, opened[index], inputs.release));
            if (needsAll)
                await tree.hash();
            const site = withLinked(tree.manifest, inputs.linked);
            const previous = (0,site_state/* releaseOf */.l7)(hosts[0]?.current ?? '') ?? '';
            const options = {
                ...inputs,
                site,
                isExcluded: (0,glob/* pathMatcher */.k)(inputs.source.exclude),
                keepAssets: inputs.keepAssets.length > 0 ? (0,glob/* pathMatcher */.k)(inputs.keepAssets) : undefined,
                mtime: unixTime(),
                ending: ending(inputs),
            };
            const staged = await onEach(hosts, (host, index) => stageOn(host, opened[index], tree, options, run.context));
            const changed = inputs.dryRun ? false : await activate(hosts, staged, inputs, run);
            await reportUpload(run, {
                inputs,
                staged,
                previous,
                changed,
                files: tree.files,
                serves: hosts.map(({ current }) => served(current)),
                connectedMs,
                durationMs: run.context.clock.monotonic() - started,
            });
        }
        finally {
            await Promise.all(hosts.map((host) => host.close()));
        }
    },
    settle: (run, state) => settleSite(run, state, main_readInputs(run)),
});
function main_readInputs(run) {
    const { github } = run;
    return run.inputs((read) => readUploadInputs(read, { workspace: github.workspace, defaultRelease: (0,github_context/* defaultRelease */.f)(github) }));
}
/** Does the work; where it fails, the connections that were being made are closed again. */
async function closingOnFailure(opening, work) {
    try {
        return await work();
    }
    catch (error) {
        const hosts = await opening.catch(() => []);
        await Promise.all(hosts.map((host) => host.close()));
        throw error;
    }
}
/** Locks every host, reads how it stands, and puts right what a dead run left. */
async function begin(hosts, inputs, context) {
    const opened = await beginOn(hosts, beginOptions(inputs), context);
    const states = opened.map(({ state }) => state);
    if (!inputs.dryRun)
        await repair(hosts, states, context);
    reportMix(hosts, context);
    return opened;
}
function beginOptions({ release, lockWaitMs, full, deletion }) {
    // Only a look at the folder tells what else lies there.
    return { release, lockWaitMs, look: full ? 'hashed' : deletion === 'all' ? 'listed' : 'stored' };
}
/** Inputs that are given and need a shell on the server. */
function shellNeeds({ beforeActivate, afterActivate, owner, health }) {
    return [
        ...(beforeActivate === '' ? [] : ['before-activate']),
        ...(afterActivate === '' ? [] : ['after-activate']),
        ...(owner === '' ? [] : ['chown']),
        ...healthNeeds(health),
    ];
}
/** Activates unless it is active everywhere already; tells whether anything changed. */
async function activate(hosts, staged, inputs, run) {
    const { context } = run;
    const { release, target } = inputs;
    const arrived = staged.some(({ complete }) => !complete);
    if (!inputs.activate) {
        context.log.info(`release ${release} is ready and not activated, as asked`);
        return arrived;
    }
    if (!arrived && hosts.every(({ current }) => (0,site_state/* releaseOf */.l7)(current) === release)) {
        context.log.info(`release ${release} is active already, with this very content: nothing to do`);
        return false;
    }
    const checkHealth = siteHealthCheck(inputs.health, inputs.credentials, { target, release });
    if (checkHealth === undefined)
        context.log.info('no health input is given: the health is not checked');
    const done = arrived ? ending(inputs) : nothingDone;
    const keep = inputs.keepReleases;
    await activateOnAll(hosts, { ...inputs, checkHealth, isNew: true, keep, done }, context);
    return true;
}
function ending({ activate, hosts, health, keepReleases, ...hooks }) {
    if (!activate)
        return nothingDone;
    return endingOf(hosts.length, { ...hooks, keep: keepReleases, hasCheck: health.check !== undefined });
}


/***/ }),

/***/ 788:
/***/ ((__unused_webpack_module, __webpack_exports__, __webpack_require__) => {

/* harmony export */ __webpack_require__.d(__webpack_exports__, {
/* harmony export */   KW: () => (/* binding */ cancelled),
/* harmony export */   Qc: () => (/* binding */ prefixedLog),
/* harmony export */   Wh: () => (/* binding */ unlessAborted),
/* harmony export */   dZ: () => (/* binding */ throwIfCancelled),
/* harmony export */   ml: () => (/* binding */ systemClock)
/* harmony export */ });
/* harmony import */ var node_timers_promises__WEBPACK_IMPORTED_MODULE_0__ = __webpack_require__(8500);
/* harmony import */ var node_timers_promises__WEBPACK_IMPORTED_MODULE_0___default = /*#__PURE__*/__webpack_require__.n(node_timers_promises__WEBPACK_IMPORTED_MODULE_0__);
/* harmony import */ var _failure_js__WEBPACK_IMPORTED_MODULE_1__ = __webpack_require__(1633);


const systemClock = {
    now: () => Date.now(),
    monotonic: () => performance.now(),
    async sleep(ms, signal) {
        throwIfCancelled(signal);
        try {
            await (0,node_timers_promises__WEBPACK_IMPORTED_MODULE_0__.setTimeout)(ms, undefined, signal === undefined ? {} : { signal });
        }
        catch (error) {
            throwIfCancelled(signal);
            throw error;
        }
    },
};
/** Throws `Cancelled` when the signal has aborted. */
function throwIfCancelled(signal) {
    if (signal?.aborted)
        throw cancelled(signal);
}
/** The error for an aborted signal: its own reason where that is ours. */
function cancelled(signal) {
    return signal.reason instanceof _failure_js__WEBPACK_IMPORTED_MODULE_1__/* .Failure */ .HR
        ? signal.reason
        : new _failure_js__WEBPACK_IMPORTED_MODULE_1__/* .Cancelled */ .cJ('cancelled', { cause: signal.reason });
}
/** Settles as the work does, or rejects as soon as the signal aborts. */
function unlessAborted(work, signal) {
    return new Promise((resolve, reject) => {
        const abort = () => reject(cancelled(signal));
        if (signal.aborted)
            abort();
        signal.addEventListener('abort', abort, { once: true });
        work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
    });
}
/** The same log with every line prefixed, one prefix per host. */
function prefixedLog(log, prefix) {
    return {
        info: (line) => log.info(`${prefix} | ${line}`),
        warn: (line) => log.warn(`${prefix} | ${line}`),
        debug: (line) => log.debug(`${prefix} | ${line}`),
    };
}


/***/ }),

/***/ 3774:
/***/ ((__unused_webpack_module, __webpack_exports__, __webpack_require__) => {

/* harmony export */ __webpack_require__.d(__webpack_exports__, {
/* harmony export */   C2: () => (/* binding */ parseStatusRanges),
/* harmony export */   Uu: () => (/* binding */ expandUrl),
/* harmony export */   rn: () => (/* binding */ urlProblem)
/* harmony export */ });
/** Parses `200`, `200-399` or `200,301-302`; undefined when it is anything else. */
function parseStatusRanges(text) {
    const ranges = text.split(',').map((part) => {
        const match = /^\s*([1-5]\d\d)(?:-([1-5]\d\d))?\s*$/.exec(part);
        return match && { from: Number(match[1]), to: Number(match[2] ?? match[1]) };
    });
    return ranges.every((range) => range !== null && range.from <= range.to)
        ? ranges
        : undefined;
}
/**
 * Checks a URL with placeholders; returns what is wrong with it, or undefined.
 * `known` are the placeholders that have a value where the URL will be used.
 */
function urlProblem(url, known) {
    for (const [placeholder, name] of url.matchAll(/\{([^{}]*)\}/g)) {
        if (!known.some((one) => one === name)) {
            const list = known.map((one) => `{${one}}`).join(', ');
            return `'${placeholder}' is not a placeholder here${list ? ` (there are ${list})` : ''}`;
        }
    }
    const samples = { address: '192.0.2.1:80', ip: '192.0.2.1', port: '80', name: 'node' };
    const parsed = URL.canParse(expandUrl(url, samples)) ? new URL(expandUrl(url, samples)) : undefined;
    if (parsed?.protocol !== 'http:' && parsed?.protocol !== 'https:')
        return 'is not an http:// or https:// URL';
    if (parsed.username || parsed.password)
        return 'must not hold a user or password';
    return undefined;
}
/** Puts the values into a URL that `urlProblem` has accepted. */
function expandUrl(url, values) {
    return url.replaceAll(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}


/***/ }),

/***/ 8553:
/***/ ((__unused_webpack_module, __webpack_exports__, __webpack_require__) => {


// EXPORTS
__webpack_require__.d(__webpack_exports__, {
  rD: () => (/* binding */ archive),
  yc: () => (/* binding */ extraOf),
  bU: () => (/* binding */ joining),
  IE: () => (/* binding */ pieces)
});

// EXTERNAL MODULE: ./src/ssh/quote.ts
var quote = __webpack_require__(9038);
;// CONCATENATED MODULE: ./src/release/tar-writer.ts
const BLOCK = 512;
const ZEROS = Buffer.alloc(BLOCK);
const TYPE_FLAGS = { file: '0', folder: '5', link: '2' };
const NAME_FIELD = 100;
const SIZE_PLACE = 124;
const MTIME_PLACE = 136;
const SUM_PLACE = 148;
const LINK_PLACE = 157;
const MAGIC_PLACE = 257;
const MAX_OCTAL_SIZE = 0o77777777777;
/** Makes headers, each in the memory of the one before. */
class TarHeaders {
    #header = Buffer.alloc(BLOCK);
    #form;
    /** The header of a member, with the records before it that a long name needs. Holds until the next is made. */
    of(member) {
        const name = member.type === 'folder' ? `${member.name}/` : member.name;
        const { mode, mtime, to = '' } = member;
        const size = member.type === 'file' ? member.size : 0;
        const parts = [];
        if (name.length > NAME_FIELD)
            parts.push(this.#longText('L', name));
        if (to.length > NAME_FIELD)
            parts.push(this.#longText('K', to));
        const header = this.#block(name, mode, size, mtime, TYPE_FLAGS[member.type], to);
        return parts.length === 0 ? header : Buffer.concat([...parts, header]);
    }
    #longText(flag, text) {
        const content = Buffer.from(`${text}\0`, 'latin1');
        const header = this.#block('././@LongLink', 0o644, content.length, 0, flag, '');
        return Buffer.concat([header, content, tarPadding(content.length)]);
    }
    #block(name, mode, size, mtime, flag, to) {
        const { bytes, sum } = this.#formOf(mode, mtime, flag);
        const header = this.#header;
        header.set(bytes);
        const whole = sum +
            put(header, name.slice(0, NAME_FIELD), 0) +
            put(header, sizeField(size), SIZE_PLACE) +
            put(header, to.slice(0, NAME_FIELD), LINK_PLACE);
        put(header, `${octal(whole, 6)}\0 `, SUM_PLACE);
        return header;
    }
    #formOf(mode, mtime, flag) {
        const last = this.#form;
        if (last?.mode === mode && last.mtime === mtime && last.flag === flag)
            return last;
        const bytes = Buffer.alloc(BLOCK);
        const sum = put(bytes, `${octal(mode, 7)}\0${octal(0, 7)}\0${octal(0, 7)}\0`, NAME_FIELD) +
            put(bytes, `${octal(mtime, 11)}\0${' '.repeat(8)}${flag}`, MTIME_PLACE) +
            put(bytes, 'ustar  ', MAGIC_PLACE);
        this.#form = { mode, mtime, flag, bytes, sum };
        return this.#form;
    }
}
/** Zeros that fill a content of this size up to whole blocks. */
function tarPadding(size) {
    return ZEROS.subarray(0, (BLOCK - (size % BLOCK)) % BLOCK);
}
/** What ends an archive. */
function tarEnd() {
    return Buffer.alloc(2 * BLOCK);
}
/** Returns the sum of the bytes. */
function put(header, text, at) {
    let sum = 0;
    for (let index = 0; index < text.length; index++) {
        const byte = text.charCodeAt(index);
        header[at + index] = byte;
        sum += byte;
    }
    return sum;
}
function sizeField(size) {
    if (size <= MAX_OCTAL_SIZE)
        return `${octal(size, 11)}\0`;
    const bytes = Buffer.alloc(12);
    bytes[0] = 0x80;
    bytes.writeBigUInt64BE(BigInt(size), 4);
    return bytes.toString('latin1');
}
function octal(value, digits) {
    return Math.max(0, Math.floor(value)).toString(8).padStart(digits, '0');
}

;// CONCATENATED MODULE: ./src/release/archive.ts


function extraOf(name, content) {
    return { name, size: content.length, pieces: () => [content] };
}
function* pieces(send, partBytes) {
    let large = 0;
    for (const entry of send.unhashed()) {
        const name = `tree/${entry.path}`;
        if (entry.type === 'link')
            yield { entry, name, from: 0, to: 0 };
        if (entry.type !== 'file')
            continue;
        if (entry.size <= partBytes) {
            yield { entry, name, from: 0, to: entry.size };
            continue;
        }
        large++;
        for (let from = 0; from < entry.size; from += partBytes) {
            const part = `parts-${large}-${from / partBytes}`;
            yield { entry, name: from === 0 ? name : part, from, to: Math.min(entry.size, from + partBytes) };
        }
    }
}
/** The script by which the server puts the parts together; its own time is the one that files get. */
function joining(send, partBytes) {
    if (partBytes === Number.POSITIVE_INFINITY)
        return [];
    const lines = [];
    let large = 0;
    for (const { path, size, mode } of send.ofType('file')) {
        if (size <= partBytes)
            continue;
        large++;
        const whole = (0,quote/* quote */.h)(`tree/${path}`);
        for (let part = 1; part * partBytes < size; part++) {
            const name = `parts-${large}-${part}`;
            lines.push(`cat ${name} >>${whole}`, `rm ${name}`);
        }
        lines.push(`chmod ${mode.toString(8)} ${whole}`, `touch -r join.sh ${whole}`);
    }
    return lines.length === 0 ? [] : [extraOf('join.sh', Buffer.from(`${lines.join('\n')}\n`, 'latin1'))];
}
/**
 * What one lane brings: files as the lane gets round to them, and `extra` at its end. Every lane brings all folders first:
 * two tars that both miss one get into each other's way when they make it for their files. A chunk holds until the next
 * but one is asked for; it has at most `chunkBytes`.
 */
async function* archive(queue, extra, { send, tree, mtime }, chunkBytes, progress) {
    const chunk = new Chunk(chunkBytes);
    const headers = new TarHeaders();
    for (const { path, type, mode } of send.ofType('folder')) {
        yield* chunk.add(headers.of({ name: `tree/${path}`, type, mode, mtime, size: 0 }));
    }
    for (let next = queue.next(); next.done !== true; next = queue.next()) {
        const piece = next.value;
        const hashed = tree.whenHashed(piece.entry.path);
        if (hashed !== undefined)
            await hashed;
        const header = headers.of(memberOf(piece, mtime));
        const content = contentAtHand(piece, tree);
        if (content === undefined)
            yield* fromDisk(piece, header, tree, chunk, progress);
        else {
            if (!chunk.fits(header, content))
                yield chunk.take();
            chunk.putMember(header, content);
            progress.sent(content.length);
        }
        if (piece.entry.type === 'file' && piece.to === piece.entry.size)
            progress.fileSent();
    }
    await tree.hash();
    for (const { name, size, pieces } of extra()) {
        yield* chunk.add(headers.of({ name, type: 'file', mode: 0o600, mtime, size }));
        for (const piece of pieces())
            yield* chunk.add(piece);
        yield* chunk.add(tarPadding(size));
    }
    yield* chunk.add(tarEnd());
    const rest = chunk.take();
    if (rest.length > 0)
        yield rest;
}
function memberOf({ entry, name, from, to }, mtime) {
    if (entry.type === 'link')
        return { name, type: 'link', mode: 0o777, mtime, size: 0, to: entry.to };
    const size = to - from;
    return { name, type: 'file', mode: size < entry.size ? 0o600 : entry.mode, mtime, size };
}
const NOTHING = Buffer.alloc(0);
/** Undefined where it must be read from disk. */
function contentAtHand({ entry, from, to }, tree) {
    if (entry.type === 'link')
        return NOTHING;
    return to - from < entry.size ? undefined : tree.kept(entry);
}
/** Of a piece with content: its member, read into the chunk. */
function* fromDisk({ entry, from, to }, header, tree, chunk, progress) {
    if (entry.type !== 'file')
        return;
    yield* chunk.add(header);
    const file = tree.open(entry, from);
    try {
        for (let left = to - from; left > 0;) {
            const count = chunk.fill(left, (room) => file.read(room));
            left -= count;
            progress.sent(count);
            if (chunk.isFull)
                yield chunk.take();
        }
    }
    finally {
        file.close();
    }
    yield* chunk.add(tarPadding(to - from));
}
/** Gathers headers and small files, which would each be a packet of their own, in one of two buffers by turns. */
class Chunk {
    #size;
    #bytes;
    #other;
    #used = 0;
    constructor(size) {
        this.#size = size;
        this.#bytes = Buffer.allocUnsafeSlow(size);
        this.#other = Buffer.allocUnsafeSlow(size);
    }
    get isFull() {
        return this.#used === this.#size;
    }
    /** Whether there is room for a small member as a whole. */
    fits(header, content) {
        return header.length + content.length + tarPadding(content.length).length <= this.#size - this.#used;
    }
    putMember(header, content) {
        this.#put(header);
        this.#put(content);
        this.#put(tarPadding(content.length));
    }
    #put(part) {
        this.#bytes.set(part, this.#used);
        this.#used += part.length;
    }
    /** Puts in a part of any size, and yields whenever it is full. */
    *add(part) {
        for (let at = 0; at < part.length;) {
            const end = Math.min(part.length, at + this.#size - this.#used);
            this.#put(part.subarray(at, end));
            at = end;
            if (this.isFull)
                yield this.take();
        }
    }
    /** Has at most so many bytes read into its room; returns how many have been. */
    fill(most, read) {
        const count = read(this.#bytes.subarray(this.#used, Math.min(this.#size, this.#used + most)));
        this.#used += count;
        return count;
    }
    take() {
        const taken = this.#bytes.subarray(0, this.#used);
        const other = this.#other;
        this.#other = this.#bytes;
        this.#bytes = other;
        this.#used = 0;
        return taken;
    }
}


/***/ }),

/***/ 1692:
/***/ ((__unused_webpack_module, __webpack_exports__, __webpack_require__) => {

/* harmony export */ __webpack_require__.d(__webpack_exports__, {
/* harmony export */   U: () => (/* binding */ compare)
/* harmony export */ });
/* harmony import */ var _manifest_js__WEBPACK_IMPORTED_MODULE_0__ = __webpack_require__(4776);
/* harmony import */ var _packed_manifest_js__WEBPACK_IMPORTED_MODULE_1__ = __webpack_require__(3055);


/** How long an asset stays after the release that had it was replaced, in seconds. */
const KEEP_SECONDS = 3600;
/**
 * Compares by content and mode, never by time. `keep` picks the files that stay reachable although the site no longer
 * has them; `now` is in Unix seconds.
 */
function compare(base, site, keep, now) {
    if (base.size === 0)
        return everything(site);
    const send = new _packed_manifest_js__WEBPACK_IMPORTED_MODULE_1__/* .ManifestBuilder */ .HC();
    const missing = new _packed_manifest_js__WEBPACK_IMPORTED_MODULE_1__/* .ManifestBuilder */ .HC();
    const replace = new Set();
    let added = 0;
    let changed = 0;
    let unchanged = 0;
    for (const [before, entry] of sideBySide(base, site)) {
        if (entry === undefined) {
            if (before !== undefined)
                missing.add(before);
            continue;
        }
        if (before !== undefined && before.type !== entry.type)
            replace.add(entry.path);
        const isSame = before !== undefined && same(before, entry);
        if (!isSame)
            send.add(entry);
        if (entry.type === 'folder')
            continue;
        if (isSame)
            unchanged++;
        else if (before === undefined)
            added++;
        else
            changed++;
    }
    const isBelowReplaced = (path) => replace.size > 0 && ancestors(path).some((above) => replace.has(above));
    const gone = missing.finish();
    const keptPaths = new Set();
    for (const entry of gone.ofType('file')) {
        const { path, kept = now } = entry;
        if (now - kept > KEEP_SECONDS || !keep(path) || isBelowReplaced(path))
            continue;
        for (const one of [path, ...ancestors(path)])
            keptPaths.add(one);
    }
    const kept = [];
    const removeFiles = [];
    const removeFolders = [];
    for (const entry of gone.values()) {
        if (isBelowReplaced(entry.path))
            continue;
        if (keptPaths.has(entry.path))
            kept.push({ ...entry, ...modeOf(entry), kept: entry.kept ?? now });
        else if (entry.type === 'folder')
            removeFolders.push(entry.path);
        else
            removeFiles.push(entry.path);
    }
    return {
        send: send.finish(),
        replace: [...replace],
        removeFiles,
        removeFolders: removeFolders.reverse(),
        result: kept.length === 0 ? site : (0,_manifest_js__WEBPACK_IMPORTED_MODULE_0__/* .makeManifest */ .Ui)(chain(site.values(), kept)),
        added,
        changed,
        removed: removeFiles.length,
        unchanged,
    };
}
/** Where nothing is there yet. */
function everything(site) {
    let links = 0;
    for (const _ of site.ofType('link'))
        links++;
    const none = { replace: [], removeFiles: [], removeFolders: [], changed: 0, removed: 0, unchanged: 0 };
    return { ...none, send: site, result: site, added: site.total.files + links };
}
/** Entries of both by path; undefined where one of them has none. */
function* sideBySide(base, site) {
    const before = base.values()[Symbol.iterator]();
    const after = site.values()[Symbol.iterator]();
    let a = before.next().value;
    let b = after.next().value;
    while (a !== undefined || b !== undefined) {
        const isOnlyBefore = b === undefined || (a !== undefined && a.path < b.path);
        const isOnlyAfter = a === undefined || (b !== undefined && b.path < a.path);
        yield [isOnlyAfter ? undefined : a, isOnlyBefore ? undefined : b];
        if (!isOnlyAfter)
            a = before.next().value;
        if (!isOnlyBefore)
            b = after.next().value;
    }
}
function* chain(...parts) {
    for (const part of parts)
        yield* part;
}
/** That of a folder may be unknown. */
const modeOf = (entry) => (entry.type === 'folder' && entry.mode < 0 ? { mode: 0o755 } : {});
function same(a, b) {
    if (a.type === 'file' && b.type === 'file')
        return a.hash === b.hash && a.size === b.size && a.mode === b.mode;
    if (a.type === 'folder' && b.type === 'folder')
        return a.mode === b.mode;
    return a.type === 'link' && b.type === 'link' && a.to === b.to;
}
/** `a/b/c` -> `a`, `a/b` */
function ancestors(path) {
    const parts = path.split('/');
    return parts.slice(1).map((_, index) => parts.slice(0, index + 1).join('/'));
}


/***/ }),

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

/***/ 6119:
/***/ ((__unused_webpack_module, __webpack_exports__, __webpack_require__) => {

/* harmony export */ __webpack_require__.d(__webpack_exports__, {
/* harmony export */   Jo: () => (/* binding */ planPlace),
/* harmony export */   Qc: () => (/* binding */ compareInPlace),
/* harmony export */   bG: () => (/* binding */ takeUp),
/* harmony export */   or: () => (/* binding */ placeScripts)
/* harmony export */ });
/* harmony import */ var _ssh_quote_js__WEBPACK_IMPORTED_MODULE_2__ = __webpack_require__(9038);
/* harmony import */ var _comparison_js__WEBPACK_IMPORTED_MODULE_0__ = __webpack_require__(1692);
/* harmony import */ var _manifest_js__WEBPACK_IMPORTED_MODULE_1__ = __webpack_require__(4776);



/** Names in one command; more would be too long for some systems. */
const NAMES_AT_ONCE = 200;
/**
 * How the site gets into a folder that may hold other things too. What `isExcluded` picks is never removed; `now` is in
 * Unix seconds. Pure.
 */
function compareInPlace({ ours, there }, site, deletion, keep, isExcluded, now) {
    const all = (0,_comparison_js__WEBPACK_IMPORTED_MODULE_0__/* .compare */ .U)(there, site, keep, now);
    const mayGo = (path) => deletion !== 'false' &&
        (deletion === 'all' || ours.has(path)) &&
        !path.split('/').some((_, at, parts) => isExcluded(parts.slice(0, at + 1).join('/')));
    const mayGoLater = ({ kept, path }) => kept !== undefined && mayGo(path);
    const removeFiles = all.removeFiles.filter(mayGo);
    const removed = new Set(removeFiles);
    const kept = [];
    // What others put there and would go, were it not kept for a while.
    if (deletion === 'all') {
        for (const entry of all.result.ofType('file'))
            if (mayGoLater(entry))
                kept.push(entry);
    }
    // What stays of ours is still ours, so that a later upload may remove it.
    for (const entry of ours.values()) {
        const { path, type } = entry;
        if (type === 'folder' || removed.has(path) || site.has(path) || isBelow(path, all.replace))
            continue;
        kept.push({ ...entry, kept: entry.kept ?? now });
    }
    return {
        ...all,
        removeFiles,
        removeFolders: all.removeFolders.filter(mayGo),
        removed: removeFiles.length,
        result: kept.length === 0 ? site : (0,_manifest_js__WEBPACK_IMPORTED_MODULE_1__/* .makeManifest */ .Ui)(bothOf(kept, site)),
    };
}
function* bothOf(kept, site) {
    yield* kept;
    yield* site.values();
}
/** What is left to send where an earlier attempt brought `arrived`, and what of that must go before. Pure. */
function takeUp(send, arrived) {
    const rest = (0,_comparison_js__WEBPACK_IMPORTED_MODULE_0__/* .compare */ .U)(arrived, send, () => false, 0);
    if (rest.replace.length === 0 && rest.removeFiles.length === 0)
        return rest;
    // That was another content under the same name.
    return { send, replace: [...arrived.keys()].filter((path) => !path.includes('/')) };
}
/**
 * New assets first, pages after, deletions last: no page is there before what it names. Pure. Of all that is sent it
 * holds no more than the names: there may be a hundred thousand.
 */
function planPlace(comparison, there) {
    const { send, replace, removeFiles, removeFolders } = comparison;
    const sent = [];
    const folders = [];
    const newAssets = [];
    const oldAssets = [];
    const pages = [];
    for (const entry of send.unhashed()) {
        if (entry.type === 'folder') {
            folders.push(entry);
            continue;
        }
        const { path } = entry;
        sent.push(path);
        if (/\.x?html?$/i.test(path))
            pages.push(path);
        else if (there.has(path))
            oldAssets.push(path);
        else
            newAssets.push(path);
    }
    const cleared = [];
    const clearedFolders = [];
    const oldFolders = [];
    const goneFolders = new Set(removeFolders);
    for (const entry of there.unhashed()) {
        const isReplaced = isBelow(entry.path, replace);
        if (entry.type !== 'folder') {
            if (isReplaced)
                cleared.push(entry.path);
            continue;
        }
        if (isReplaced)
            clearedFolders.push(entry.path);
        if (isReplaced || goneFolders.has(entry.path))
            oldFolders.push(entry);
    }
    const touched = [...new Set([...sent, ...cleared, ...removeFiles])];
    const keep = perFolder('keep', touched);
    return {
        keep,
        put: [
            perFolder('drop', cleared),
            clearedFolders.reverse().map(noFolder),
            folders.map(makeFolder),
            perFolder('put', newAssets),
            perFolder('put', oldAssets),
            perFolder('put', pages).reverse(),
            perFolder('drop', removeFiles),
            removeFolders.map(noFolder),
        ],
        gone: [
            ...perFolder('gone', sent),
            ...folders
                .filter((entry) => there.get(entry.path)?.type !== 'folder')
                .reverse()
                .map(({ path }) => noFolder(path)),
        ],
        restore: [...oldFolders.map(makeFolder), ...keep.map((step) => ({ ...step, op: 'restore' }))],
    };
}
/** The scripts of `next`, see in-place-code.ts. */
function placeScripts({ keep, put, gone, restore }) {
    const script = (steps) => Buffer.concat(steps.map((step) => Buffer.from(`${line(step)}\n`, 'latin1')));
    return {
        'keep.sh': script(keep),
        'put.sh': script(put.flat()),
        'gone.sh': script(gone),
        'restore.sh': script(restore),
    };
}
function line(step) {
    const folder = (0,_ssh_quote_js__WEBPACK_IMPORTED_MODULE_2__/* .quote */ .h)(step.folder);
    if (step.op === 'folder')
        return `folder ${step.mode.toString(8)} ${folder} ${(0,_ssh_quote_js__WEBPACK_IMPORTED_MODULE_2__/* .quote */ .h)(step.name)}`;
    if (step.op === 'no_folder')
        return `no_folder ${folder} ${(0,_ssh_quote_js__WEBPACK_IMPORTED_MODULE_2__/* .quote */ .h)(step.name)}`;
    return `${step.op} ${folder} ${step.names.map(_ssh_quote_js__WEBPACK_IMPORTED_MODULE_2__/* .quote */ .h).join(' ')}`;
}
/** `a/b/c` -> `a/b`, `c` */
function split(path) {
    const at = path.lastIndexOf('/');
    return [path.slice(0, Math.max(at, 0)), path.slice(at + 1)];
}
function noFolder(path) {
    const [folder, name] = split(path);
    return { op: 'no_folder', folder, name };
}
function makeFolder({ path, mode }) {
    const [folder, name] = split(path);
    return { op: 'folder', mode: mode < 0 ? 0o755 : mode, folder, name };
}
/** One step for the names in each folder, in the order in which the folders come. */
function perFolder(op, all) {
    const groups = new Map();
    for (const path of all) {
        const [folder, name] = split(path);
        const names = groups.get(folder) ?? [];
        names.push(name);
        groups.set(folder, names);
    }
    return [...groups].flatMap(([folder, names]) => Array.from({ length: Math.ceil(names.length / NAMES_AT_ONCE) }, (_, at) => ({
        op,
        folder,
        names: names.slice(at * NAMES_AT_ONCE, (at + 1) * NAMES_AT_ONCE),
    })));
}
function isBelow(path, tops) {
    return tops.some((top) => path === top || path.startsWith(`${top}/`));
}


/***/ }),

/***/ 4776:
/***/ ((__unused_webpack_module, __webpack_exports__, __webpack_require__) => {

/* harmony export */ __webpack_require__.d(__webpack_exports__, {
/* harmony export */   Gb: () => (/* binding */ encodeManifest),
/* harmony export */   Lf: () => (/* binding */ splitAtNul),
/* harmony export */   MK: () => (/* binding */ decodeManifest),
/* harmony export */   Oo: () => (/* binding */ once),
/* harmony export */   Ui: () => (/* binding */ makeManifest),
/* harmony export */   V7: () => (/* binding */ joinByNul),
/* harmony export */   fm: () => (/* binding */ contentId),
/* harmony export */   kq: () => (/* binding */ isInsidePath)
/* harmony export */ });
/* harmony import */ var node_crypto__WEBPACK_IMPORTED_MODULE_0__ = __webpack_require__(7598);
/* harmony import */ var node_crypto__WEBPACK_IMPORTED_MODULE_0___default = /*#__PURE__*/__webpack_require__.n(node_crypto__WEBPACK_IMPORTED_MODULE_0__);
/* harmony import */ var node_zlib__WEBPACK_IMPORTED_MODULE_1__ = __webpack_require__(8522);
/* harmony import */ var node_zlib__WEBPACK_IMPORTED_MODULE_1___default = /*#__PURE__*/__webpack_require__.n(node_zlib__WEBPACK_IMPORTED_MODULE_1__);
/* harmony import */ var _failure_js__WEBPACK_IMPORTED_MODULE_2__ = __webpack_require__(1633);
/* harmony import */ var _packed_manifest_js__WEBPACK_IMPORTED_MODULE_3__ = __webpack_require__(3055);




const TEXTS_AT_ONCE = 1000;
const HEADER = 'evenkeel manifest 1';
const TYPES = { f: 'file', d: 'folder', l: 'link' };
/** Of entries in any order; of two with one path the later counts. */
function makeManifest(entries = []) {
    const builder = new _packed_manifest_js__WEBPACK_IMPORTED_MODULE_3__/* .ManifestBuilder */ .HC();
    for (const entry of entries)
        builder.add(entry);
    return builder.finish();
}
/** The manifest as it lies on the server: NUL-ended records, gzipped. */
function encodeManifest(manifest) {
    return stored(manifest).gzipped;
}
/** Identity of a release's content: what the site itself consists of, without what was kept from earlier ones. */
function contentId(manifest) {
    return stored(manifest).id;
}
/** Both at once: where nothing is kept from earlier releases they are made of the same records. */
function stored(manifest) {
    return once(storedForms, manifest, () => {
        const whole = Buffer.concat([...records(manifest.values())]);
        const own = manifest.keepsAny ? Buffer.concat([...records(ownEntries(manifest))]) : whole;
        return { gzipped: (0,node_zlib__WEBPACK_IMPORTED_MODULE_1__.gzipSync)(whole, { level: 1 }), id: (0,node_crypto__WEBPACK_IMPORTED_MODULE_0__.hash)('sha256', own, 'hex') };
    });
}
const storedForms = new WeakMap();
/** What has been worked out for a manifest is known from then on: several hosts mostly get the same. */
function once(known, manifest, make) {
    const before = known.get(manifest);
    if (before !== undefined)
        return before;
    const made = make();
    known.set(manifest, made);
    return made;
}
function* ownEntries(manifest) {
    for (const entry of manifest.values())
        if (entry.kept === undefined)
            yield entry;
}
const records = (entries) => joinByNul(fields(entries));
function* fields(entries) {
    yield HEADER;
    for (const entry of entries) {
        const kept = entry.kept ?? 0;
        switch (entry.type) {
            case 'file':
                yield `f ${entry.mode.toString(8)} ${entry.size} ${entry.hash} ${kept} ${entry.path}`;
                break;
            case 'folder':
                yield `d ${entry.mode.toString(8)} 0 - ${kept} ${entry.path}`;
                break;
            case 'link':
                yield `l 777 0 - ${kept} ${entry.path}`;
                yield entry.to;
        }
    }
}
/** Reads a stored manifest. It comes from a server: every path is checked before anything is done with it. */
function decodeManifest(stored, { host, path: file }) {
    const bad = (seen) => new _failure_js__WEBPACK_IMPORTED_MODULE_2__/* .Failure */ .HR('the list that the last upload left on the server cannot be read', {
        host,
        seen,
        state: 'the site is as it was.',
        hint: `remove the file ${file} there: the next upload then sends everything`,
    });
    let plain;
    try {
        plain = (0,node_zlib__WEBPACK_IMPORTED_MODULE_1__.gunzipSync)(stored, { maxOutputLength: 512 * 1024 * 1024 });
    }
    catch (error) {
        throw bad((0,_failure_js__WEBPACK_IMPORTED_MODULE_2__/* .describeError */ .Uc)(error));
    }
    const fields = splitAtNul(plain);
    if (fields.next().value !== HEADER)
        throw bad('an unknown header');
    const builder = new _packed_manifest_js__WEBPACK_IMPORTED_MODULE_3__/* .ManifestBuilder */ .HC();
    let at = 0;
    for (const field of fields) {
        at++;
        const match = /^([fdl]) ([0-7]{1,4}) (\d{1,16}) ([0-9a-f]{32}|-) (\d{1,12}) ([\s\S]+)$/.exec(field);
        const [, letter, octal = '', size, hash = '', kept, path] = match ?? [];
        if (path === undefined || !isInsidePath(path))
            throw bad(`record ${at}`);
        const common = { path, ...(Number(kept) > 0 ? { kept: Number(kept) } : {}) };
        const type = TYPES[letter];
        const mode = Number.parseInt(octal, 8);
        if (type === 'link')
            builder.add({ ...common, type, to: fields.next().value ?? '' });
        else if (type === 'folder')
            builder.add({ ...common, type, mode });
        else
            builder.add({ ...common, type, mode, size: Number(size), hash });
    }
    return builder.finish();
}
/** Texts, each ended by a NUL, in chunks: as one text, a large site would be in memory several times. */
function* joinByNul(texts) {
    let parts = [];
    const chunk = () => Buffer.from(`${parts.join('\0')}\0`, 'latin1');
    for (const text of texts) {
        if (parts.push(text) < TEXTS_AT_ONCE)
            continue;
        yield chunk();
        parts = [];
    }
    if (parts.length > 0)
        yield chunk();
}
/** The reverse, one by one: all at once, a large site's would take several times its list. */
function* splitAtNul(list) {
    for (let start = 0; start < list.length;) {
        const end = list.indexOf(0, start);
        yield list.toString('latin1', start, end < 0 ? list.length : end);
        start = end < 0 ? list.length : end + 1;
    }
}
/** Whether a path names something below the folder it is relative to, in its only spelling. */
function isInsidePath(path) {
    return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
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

/***/ 1846:
/***/ ((__unused_webpack_module, __webpack_exports__, __webpack_require__) => {

/* harmony export */ __webpack_require__.d(__webpack_exports__, {
/* harmony export */   Z: () => (/* binding */ trackProgress),
/* harmony export */   z: () => (/* binding */ formatBytes)
/* harmony export */ });
/* harmony import */ var _duration_js__WEBPACK_IMPORTED_MODULE_0__ = __webpack_require__(7607);

/** A line this often suits a log that is read afterwards. */
const LINE_EVERY_MS = 5_000;
/** Counts, and writes a line into the log every few seconds. */
function trackProgress(total, { log, clock }) {
    const start = clock.monotonic();
    let files = 0;
    let bytes = 0;
    let wire = 0;
    const timer = setInterval(() => {
        const elapsed = clock.monotonic() - start;
        const left = bytes > 0 ? `, about ${(0,_duration_js__WEBPACK_IMPORTED_MODULE_0__/* .formatDuration */ .a)((elapsed / bytes) * (total.bytes - bytes))} left` : '';
        const rate = formatBytes((wire / elapsed) * 1000);
        log.info(`uploading: ${files} of ${total.files} files, ${formatBytes(bytes)} of ${formatBytes(total.bytes)}, ${rate}/s on the wire${left}`);
    }, LINE_EVERY_MS);
    return {
        get bytesOnWire() {
            return wire;
        },
        sent(count) {
            bytes += count;
        },
        fileSent() {
            files++;
        },
        onWire(count) {
            wire += count;
        },
        end: () => clearInterval(timer),
    };
}
/** `312 B`, `4.1 KB`, `20.3 MB` */
function formatBytes(bytes) {
    if (bytes < 1000)
        return `${Math.round(bytes)} B`;
    const units = ['KB', 'MB', 'GB', 'TB'];
    const power = Math.min(units.length, Math.floor(Math.log10(bytes) / 3));
    return `${(bytes / 1000 ** power).toFixed(1)} ${units[power - 1]}`;
}


/***/ }),

/***/ 9425:
/***/ ((__unused_webpack_module, __webpack_exports__, __webpack_require__) => {

/* harmony export */ __webpack_require__.d(__webpack_exports__, {
/* harmony export */   cp: () => (/* binding */ adviceFor),
/* harmony export */   lT: () => (/* binding */ lockedFailure),
/* harmony export */   uq: () => (/* binding */ isFull)
/* harmony export */ });
/* harmony import */ var _failure_js__WEBPACK_IMPORTED_MODULE_0__ = __webpack_require__(1633);
/* harmony import */ var _ssh_quote_js__WEBPACK_IMPORTED_MODULE_1__ = __webpack_require__(9038);


/** The failure for whoever finds the site locked. */
function lockedFailure(host, holder, waitedMs) {
    return new _failure_js__WEBPACK_IMPORTED_MODULE_0__/* .Failure */ .HR('another deploy of this site is at work', {
        host,
        seen: `the lock is held by ${holder || 'a run that left no name'}`,
        state: 'this step changed nothing.',
        hint: waitedMs === 0
            ? 'wait for it and run again, or set `lock-wait`'
            : 'look at that run; its lock ends with it, or soon after its runner has gone',
    });
}
/** How things stand and what to do about a failure on the server, as far as its text tells. */
function adviceFor(text, target) {
    const hint = hintFor(text, target);
    return WRONG_CONTENT.test(text) ? { state: 'nothing was activated.', hint } : { hint };
}
/** Whether a failure's text says that the disk is full. */
const isFull = (text) => /no space left|disk quota/i.test(text);
const WRONG_CONTENT = /content that arrived|instead of/;
function hintFor(text, target) {
    if (isFull(text))
        return 'free some space there, or keep fewer releases (`keep-releases`)';
    if (/cannot be read/.test(text))
        return 'let the deploy user read it there, or take it away';
    if (/permission denied|not permitted|read-only/i.test(text)) {
        return `let the deploy user write there: on the server, chown it to that user, for example: sudo install -d -o USER ${(0,_ssh_quote_js__WEBPACK_IMPORTED_MODULE_1__/* .quote */ .h)(target)}`;
    }
    if (/not a symbolic link/.test(text))
        return 'move it away: the action makes it a link to the release that is served';
    if (/not from an upload/.test(text))
        return 'choose another `release`, or move that folder away';
    if (WRONG_CONTENT.test(text))
        return 'run the job again: it goes by the content of what is there, which also puts right what was changed by hand in the release before; `verify: full` does so from the start';
    return 'look at the folder on the server, then run the job again';
}


/***/ }),

/***/ 1490:
/***/ ((__unused_webpack_module, __webpack_exports__, __webpack_require__) => {

/* harmony export */ __webpack_require__.d(__webpack_exports__, {
/* harmony export */   Kh: () => (/* binding */ keptAsStored),
/* harmony export */   Mr: () => (/* binding */ pathsIn),
/* harmony export */   Z0: () => (/* binding */ StateReader),
/* harmony export */   iv: () => (/* binding */ storedHash),
/* harmony export */   l7: () => (/* binding */ releaseOf)
/* harmony export */ });
/* harmony import */ var _failure_js__WEBPACK_IMPORTED_MODULE_0__ = __webpack_require__(1633);
/* harmony import */ var _ssh_byte_string_js__WEBPACK_IMPORTED_MODULE_2__ = __webpack_require__(4990);
/* harmony import */ var _manifest_js__WEBPACK_IMPORTED_MODULE_1__ = __webpack_require__(4776);



/** No file has it. */
const NOT_READ = '0'.repeat(32);
/** Collects what `describe` and `claim` print. */
class StateReader {
    /** The action's folder on the server, for who has to look there. */
    #place;
    #look;
    data = new Map();
    busy;
    copied;
    #bell;
    #base;
    #stored;
    #current = '';
    #pending;
    #free = Number.MAX_SAFE_INTEGER;
    #releases = [];
    #tools = new Set();
    constructor(place, look = 'stored') {
        this.#place = place;
        this.#look = look;
    }
    record(name, value) {
        const [first = '', ...rest] = value.split(' ');
        switch (name) {
            case 'busy':
                this.busy = (0,_ssh_byte_string_js__WEBPACK_IMPORTED_MODULE_2__/* .fromByteString */ .q)(value);
                break;
            case 'copied':
                this.copied = (0,_ssh_byte_string_js__WEBPACK_IMPORTED_MODULE_2__/* .fromByteString */ .q)(value);
                break;
            case 'current':
                this.#current = value;
                break;
            case 'pending':
                this.#pending = { release: first, returnTo: rest.join(' ') };
                break;
            case 'release':
                this.#releases.push({
                    id: first,
                    content: rest[0] ?? '',
                    state: rest[1],
                    before: rest[2] || undefined,
                });
                break;
            case 'free':
                if (/^\d+$/.test(value))
                    this.#free = Number(value) * 1024;
                break;
            case 'tool':
                this.#tools.add(value);
                break;
            case 'bell':
                this.#bell = value;
                break;
            case 'stored':
                this.#stored = (0,_ssh_byte_string_js__WEBPACK_IMPORTED_MODULE_2__/* .fromByteString */ .q)(value);
                break;
            case 'base':
                this.#base = first;
        }
    }
    finish() {
        const state = {
            current: this.#current,
            releases: this.#releases,
            pending: this.#pending,
            freeBytes: this.#free,
            tools: this.#tools,
        };
        return { state, base: this.#base && this.#finishBase(this.#base), bell: this.#bell };
    }
    #finishBase(kind) {
        const stored = this.data.get('manifest');
        const ours = stored === undefined ? (0,_manifest_js__WEBPACK_IMPORTED_MODULE_1__/* .makeManifest */ .Ui)() : (0,_manifest_js__WEBPACK_IMPORTED_MODULE_1__/* .decodeManifest */ .MK)(stored, this.#storedList());
        if (kind === 'none')
            return { kind, manifest: (0,_manifest_js__WEBPACK_IMPORTED_MODULE_1__/* .makeManifest */ .Ui)(), ours };
        const unread = this.#look === 'listed' ? ours : undefined;
        const manifest = this.data.has('names') ? keptAsStored((0,_manifest_js__WEBPACK_IMPORTED_MODULE_1__/* .makeManifest */ .Ui)(this.#found('', unread)), ours) : ours;
        const assets = new Set(pathsIn(this.data.get('assets') ?? Buffer.alloc(0)));
        const base = { kind, manifest, ours, assets };
        return this.data.has('arrived-names') ? { ...base, arrived: (0,_manifest_js__WEBPACK_IMPORTED_MODULE_1__/* .makeManifest */ .Ui)(this.#found('arrived-')) } : base;
    }
    #storedList() {
        const { host, path } = this.#place;
        return {
            host,
            path: `${path}/${this.#stored === undefined ? 'site' : `meta/${this.#stored}`}/manifest.gz`,
        };
    }
    /**
     * What lies there, or what an earlier attempt has brought over: folders get their modes anew. Where the files were not
     * read, `stored` tells what they hold.
     */
    *#found(prefix, stored) {
        const list = (name) => this.data.get(`${prefix}${name}`) ?? Buffer.alloc(0);
        const hashes = lines(list('hashes'));
        const modes = lines(list('modes'));
        for (const path of pathsIn(list('names'))) {
            const found = modes.next().value;
            const [mode = '0', bytes = '0'] = found?.split(' ') ?? [];
            const size = Number(bytes);
            const hash = stored === undefined ? hashes.next().value : storedHash(stored, path, size);
            // Without a line for each file it is not known which belongs to which.
            if (hash === undefined || found === undefined)
                throw this.#unreadable();
            if ((0,_manifest_js__WEBPACK_IMPORTED_MODULE_1__/* .isInsidePath */ .kq)(path))
                yield { type: 'file', path, mode: Number.parseInt(mode, 8), size, hash };
        }
        if (hashes.next().value !== undefined || modes.next().value !== undefined)
            throw this.#unreadable();
        for (const path of pathsIn(list('folders'))) {
            if ((0,_manifest_js__WEBPACK_IMPORTED_MODULE_1__/* .isInsidePath */ .kq)(path))
                yield { type: 'folder', path, mode: -1 };
        }
        for (const path of pathsIn(list('links')))
            if ((0,_manifest_js__WEBPACK_IMPORTED_MODULE_1__/* .isInsidePath */ .kq)(path))
                yield { type: 'link', path, to: '' };
    }
    #unreadable() {
        return new _failure_js__WEBPACK_IMPORTED_MODULE_0__/* .Failure */ .HR('what lies on the server could not be listed', {
            host: this.#place.host,
            seen: 'the lists of names, sizes and contents do not agree',
            state: 'the site is as it was.',
            hint: `run the job again; should it fail again, remove what is left in ${this.#place.path}/staging on the server first`,
        });
    }
}
/** What a file that was not read counts as: one of its size in `stored` as that one. */
function storedHash(stored, path, size) {
    const known = stored.get(path);
    return known?.type === 'file' && known.size === size ? known.hash : NOT_READ;
}
/** What was found, with the times since when `stored` keeps it. */
function keptAsStored(found, stored) {
    if (!stored.keepsAny)
        return found;
    return (0,_manifest_js__WEBPACK_IMPORTED_MODULE_1__/* .makeManifest */ .Ui)((function* () {
        for (const entry of found.values()) {
            const kept = stored.get(entry.path)?.kept;
            yield kept === undefined ? entry : { ...entry, kept };
        }
    })());
}
function* lines(list) {
    for (let start = 0, end = list.indexOf(10); end >= 0; start = end + 1, end = list.indexOf(10, start)) {
        yield list.toString('latin1', start, end);
    }
}
/** The paths of a NUL-ended list, as they are in a manifest. */
function* pathsIn(list) {
    for (const path of (0,_manifest_js__WEBPACK_IMPORTED_MODULE_1__/* .splitAtNul */ .Lf)(list)) {
        const inside = path.replace(/^\.\//, '');
        if (inside !== '.' && inside !== '')
            yield inside;
    }
}
/** The release that a link names, undefined when it is not one of ours. */
function releaseOf(link) {
    return /^releases\/([^/]+)$/.exec(link)?.[1];
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

/***/ 7042:
/***/ ((__unused_webpack_module, __webpack_exports__, __webpack_require__) => {

/* harmony export */ __webpack_require__.d(__webpack_exports__, {
/* harmony export */   Nr: () => (/* binding */ sentDigest),
/* harmony export */   k8: () => (/* binding */ lists),
/* harmony export */   ln: () => (/* binding */ assetList)
/* harmony export */ });
/* harmony import */ var node_crypto__WEBPACK_IMPORTED_MODULE_0__ = __webpack_require__(7598);
/* harmony import */ var node_crypto__WEBPACK_IMPORTED_MODULE_0___default = /*#__PURE__*/__webpack_require__.n(node_crypto__WEBPACK_IMPORTED_MODULE_0__);
/* harmony import */ var _archive_js__WEBPACK_IMPORTED_MODULE_1__ = __webpack_require__(8553);
/* harmony import */ var _manifest_js__WEBPACK_IMPORTED_MODULE_2__ = __webpack_require__(4776);



/** The server hashes what arrived in two processes at once where it is much, in four where it is very much. */
const WORK_FOR_TWO = 8 * 1024 * 1024;
const WORK_FOR_FOUR = 64 * 1024 * 1024;
/** Opening a file counts as some bytes. */
const FILE_COST = 8 * 1024;
/**
 * Lists for the server, NUL-ended names, and the manifest of what it will have, by the name `manifest`; they travel in
 * the archive as files beside the tree.
 */
function lists({ removeFiles, removeFolders, send, result }, manifest) {
    return [
        nameList('remove', removeFiles),
        nameList('rmdirs', removeFolders),
        ...sentLists(send),
        (0,_archive_js__WEBPACK_IMPORTED_MODULE_1__/* .extraOf */ .yc)(manifest, (0,_manifest_js__WEBPACK_IMPORTED_MODULE_2__/* .encodeManifest */ .Gb)(result)),
    ];
}
function nameList(name, paths) {
    const chunks = [...(0,_manifest_js__WEBPACK_IMPORTED_MODULE_2__/* .joinByNul */ .V7)(relative(paths))];
    return { name, size: chunks.reduce((sum, { length }) => sum + length, 0), pieces: () => chunks };
}
function* relative(paths) {
    for (const path of paths)
        yield `./${path}`;
}
function* files(send) {
    for (const entry of send.unhashed())
        if (entry.type === 'file')
            yield entry;
}
/** The files of a release that pages of it may still name after it was replaced. */
function assetList(name, release, isAsset) {
    return nameList(name, paths(release, isAsset));
}
function* paths(release, isPicked) {
    for (const { path } of files(release))
        if (isPicked(path))
            yield path;
}
/** The files sent, in order, in lists that take the server about as long to hash one as the other. */
function sentLists(send) {
    const { total } = send;
    const work = total.bytes + total.files * FILE_COST;
    const share = Math.ceil(work / (work < WORK_FOR_TWO ? 1 : work < WORK_FOR_FOUR ? 2 : 4));
    const rest = files(send);
    let next = rest.next();
    let done = 0;
    function* upTo(end) {
        for (; next.done !== true && done < end; next = rest.next()) {
            yield next.value.path;
            done += next.value.size + FILE_COST;
        }
    }
    const lists = [];
    while (next.done !== true) {
        const at = lists.length;
        lists.push(nameList(`sent.${at}`, upTo((at + 1) * share)));
    }
    return lists;
}
/** Digest over the hashes of the sent files, in order, as the server computes it; `-` where there are none. */
function sentDigest(send) {
    let hashes = '';
    for (const hash of send.hashes())
        hashes += `${hash}\n`;
    return hashes === '' ? '-' : (0,node_crypto__WEBPACK_IMPORTED_MODULE_0__.hash)('sha256', hashes, 'hex');
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


/***/ }),

/***/ 9038:
/***/ ((__unused_webpack_module, __webpack_exports__, __webpack_require__) => {

/* harmony export */ __webpack_require__.d(__webpack_exports__, {
/* harmony export */   h: () => (/* binding */ quote)
/* harmony export */ });
/* unused harmony export quoteAll */
/**
 * One argument for a POSIX shell, whatever it holds: the only way by which a value gets into a remote script.
 * Throws on a NUL byte, which no argument can carry.
 */
function quote(argument) {
    if (argument.includes('\0'))
        throw new TypeError('a shell argument cannot hold a NUL byte');
    return /^[A-Za-z0-9_@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`;
}
/** Several arguments, each quoted, with spaces between. */
function quoteAll(args) {
    return args.map(quote).join(' ');
}


/***/ })

};
;