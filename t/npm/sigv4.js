// One call of the AWS SDK, PutEvents or, with "pattern" and "event" (true or
// false then), TestEventPattern, for each line of JSON on stdin, {"port",
// "path", "key_id", "secret", "token", "skew", "change", "entries", "cut"}:
// "ok", or the name of the exception, the status, and the number of attempts.
// skew: of the SDK's clock in seconds; change: [from, to] in the body, when it
// has been signed; entries: these, and with success a line of JSON, what the
// SDK has made of the answer.  cut: so many answers do not reach the SDK,
// though all of them have been sent; half: a half of each of them does.

'use strict';

const net = require('net');
const readline = require('readline');
const { EventBridgeClient, PutEventsCommand, TestEventPatternCommand } =
    require('@aws-sdk/client-eventbridge');

// Between the SDK and the server; the server's answers are small enough to
// come in one piece.

function proxy(m) {
    let left = m.cut;

    const server = net.createServer((socket) => {
        const upstream = net.connect(m.port, '127.0.0.1');

        socket.on('data', (data) => upstream.write(data));
        upstream.on('data', (data) => {
            if (left-- <= 0) {
                socket.write(data);
                return;
            }

            if (!m.half) {
                socket.resetAndDestroy();

            } else {
                socket.end(data.subarray(0, data.length - 20));
            }

            upstream.destroy();
        });

        for (const [from, to] of [[socket, upstream], [upstream, socket]]) {
            from.on('error', () => to.destroy());
            from.on('close', () => to.destroy());
        }
    });

    return new Promise((done) => server.listen(0, '127.0.0.1',
        () => done(server)));
}

async function call(m) {
    const server = m.cut ? await proxy(m) : null;
    const port = server ? server.address().port : m.port;
    const client = new EventBridgeClient({
        region: m.region || 'us-east-1',
        endpoint: `http://127.0.0.1:${port}${m.path}`,
        credentials: { accessKeyId: m.key_id, secretAccessKey: m.secret,
            sessionToken: m.token },
        systemClockOffset: (m.skew || 0) * 1000,
        maxAttempts: m.attempts || 1
    });

    if (m.change) {
        client.middlewareStack.add((next) => (args) => {
            const text = Buffer.from(args.request.body).toString();

            args.request.body = Buffer.from(text.replace(...m.change));

            return next(args);
        }, { step: 'finalizeRequest', priority: 'low' });
    }

    try {
        if (m.pattern) {
            const { Result } = await client.send(new TestEventPatternCommand({
                EventPattern: m.pattern, Event: m.event }));

            return `${Result}`;
        }

        const entries = m.entries || [
            { Source: 'app', DetailType: 'order', Detail: '{"n":1}' } ];

        for (const entry of entries.filter((e) => e.Time)) {
            entry.Time = new Date(entry.Time * 1000);
        }

        const answer = await client.send(new PutEventsCommand({
            Entries: entries }));

        return m.entries ? JSON.stringify({ Entries: answer.Entries,
            FailedEntryCount: answer.FailedEntryCount,
            attempts: answer.$metadata.attempts }) : 'ok';

    } catch (e) {
        const meta = e.$metadata || {};

        return `${e.name} ${meta.httpStatusCode} ${meta.attempts}`;

    } finally {
        client.destroy();

        if (server) {
            server.close();
        }
    }
}

(async () => {
    for await (const line of readline.createInterface(
        { input: process.stdin }))
    {
        console.log(await call(JSON.parse(line)));
    }
})();
