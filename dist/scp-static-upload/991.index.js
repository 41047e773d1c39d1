"use strict";
exports.id = 991;
exports.ids = [991];
exports.modules = {

/***/ 3991:
/***/ ((__unused_webpack_module, __webpack_exports__, __webpack_require__) => {


// EXPORTS
__webpack_require__.d(__webpack_exports__, {
  makeProbe: () => (/* binding */ makeProbe)
});

// UNUSED EXPORTS: makeHttpProbe

// EXTERNAL MODULE: external "node:net"
var external_node_net_ = __webpack_require__(7030);
// EXTERNAL MODULE: ./node_modules/undici/index.js
var undici = __webpack_require__(6752);
// EXTERNAL MODULE: ./src/failure.ts
var failure = __webpack_require__(1633);
;// CONCATENATED MODULE: ./src/ssh/tunnel.ts

/**
 * An HTTP dispatcher whose connections are opened by the server at the other end of an SSH connection: names are
 * resolved there and loopback means that server. TLS is checked here, end to end.
 */
function tunnelDispatcher(connection, tls = {}) {
    const secure = (0,undici/* buildConnector */.gU)({ ...tls });
    return new undici/* Agent */.g6({
        connect: (options, done) => {
            const https = options.protocol === 'https:';
            const port = options.port === '' ? (https ? 443 : 80) : Number(options.port);
            connection.openTcp(options.hostname.replace(/^\[|\]$/g, ''), port).then((channel) => {
                // undici asks nothing of a plain connection but to be a duplex stream.
                const socket = closing(channel);
                if (https)
                    secure({ ...options, httpSocket: socket }, done);
                else
                    done(null, socket);
            }, (error) => done(error, null));
        },
    });
}
/**
 * A channel that tells its end when it is destroyed, as a socket does. ssh2's tells it once all that came has been read;
 * undici reads no further after an answer with `Connection: close`, and would wait for ever.
 */
function closing(channel) {
    const destroy = channel.destroy.bind(channel);
    const drop = () => {
        while (channel.read() !== null)
            ;
    };
    channel.destroy = () => {
        channel.on('readable', drop);
        drop();
        return destroy();
    };
    return channel;
}

// EXTERNAL MODULE: ./src/health/check.ts
var health_check = __webpack_require__(3774);
;// CONCATENATED MODULE: ./src/health/probe.ts





/** Longest wait for one answer, in ms: a hanging server is as unwell as a silent one. */
const ANSWER_TIMEOUT_MS = 5_000;
const BODY_LIMIT = 256 * 1024;
/** Builds the probe for one subject. A command needs a server to run on; the inputs see to that. */
function makeProbe(check, from, subject) {
    return bounded(asker(check, from, subject));
}
/** A probe that asks over HTTP through dispatchers of the caller's; each is destroyed after one answer. */
function makeHttpProbe(check, url, open) {
    return bounded((signal) => askHttp(check, url, open, signal));
}
function bounded(ask) {
    return async (signal) => {
        const bounded = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]);
        try {
            return await ask(bounded);
        }
        catch (error) {
            if (signal.aborted)
                return { ok: false, error: 'no answer before the time was over' };
            if (bounded.aborted)
                return { ok: false, error: `no answer within ${ANSWER_TIMEOUT_MS} ms` };
            return { ok: false, error: briefly(error) };
        }
    };
}
/** An answer is one line: where it was asked stands beside it anyway. */
function briefly(error) {
    if (!(error instanceof failure/* Failure */.HR))
        return (0,failure/* describeError */.Uc)(error);
    return error.details.seen ? `${error.message} (${error.details.seen})` : error.message;
}
function asker(check, from, subject) {
    switch (check.kind) {
        case 'http':
            // A dispatcher per probe: a kept-alive connection would go on answering for a process that no longer listens.
            return (signal) => askHttp(check, (0,health_check/* expandUrl */.Uu)(check.url, subject.placeholders), () => (from === 'runner' ? new undici/* Agent */.g6() : tunnelDispatcher(from)), signal);
        case 'tcp':
            return (signal) => askTcp(subject.tcpHost, check.port, from, signal);
        case 'command':
            return (signal) => askCommand(check.command, from, subject, signal);
    }
}
async function askHttp(check, url, open, signal) {
    const dispatcher = open();
    try {
        const response = await (0,undici/* request */.Em)(url, { dispatcher, signal });
        const text = await readSome(response.body, BODY_LIMIT);
        const answer = { status: response.statusCode, body: firstLine(text) };
        if (!check.expectStatus.some(({ from: low, to }) => answer.status >= low && answer.status <= to)) {
            return { ok: false, error: 'unexpected status', ...answer };
        }
        if (check.expectBody !== undefined && !text.includes(check.expectBody)) {
            return { ok: false, error: `the body does not contain '${check.expectBody}'`, ...answer };
        }
        return { ok: true, ...answer };
    }
    finally {
        await dispatcher.destroy();
    }
}
async function readSome(body, limit) {
    const chunks = [];
    let bytes = 0;
    for await (const chunk of body) {
        chunks.push(chunk);
        bytes += chunk.length;
        if (bytes >= limit)
            break;
    }
    return Buffer.concat(chunks).toString('utf8');
}
async function askTcp(host, port, from, signal) {
    if (from !== 'runner') {
        const channel = await from.openTcp(host, port);
        channel.on('error', () => { });
        channel.destroy();
        return { ok: true };
    }
    await new Promise((resolve, reject) => {
        const socket = (0,external_node_net_.connect)({ host, port, signal }, () => {
            socket.destroy();
            resolve();
        });
        socket.once('error', reject);
    });
    return { ok: true };
}
async function askCommand(command, from, { env = {}, cwd }, signal) {
    if (from === 'runner')
        throw new TypeError('a health command runs on a server');
    const result = await from.script(command, { env, signal, ...(cwd === undefined ? {} : { cwd }) });
    const body = firstLine(result.stdout) || firstLine(result.stderr);
    if (result.code === 0)
        return { ok: true, body };
    return {
        ok: false,
        error: result.signal === undefined ? `exit code ${result.code}` : `killed by ${result.signal}`,
        body,
    };
}
function firstLine(text) {
    return (text.split('\n').find((line) => line.trim() !== '') ?? '').trim().slice(0, 200);
}


/***/ })

};
;