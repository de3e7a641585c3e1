// One PutEvents call of the AWS SDK for each line of JSON on stdin, {"port",
// "path", "key_id", "secret", "token", "skew", "change"}: "ok", or the name of
// the exception, the status, and the number of attempts.  skew: of the SDK's
// clock in seconds; change: [from, to] in the body, when it has been signed.

'use strict';

const readline = require('readline');
const { EventBridgeClient, PutEventsCommand } =
    require('@aws-sdk/client-eventbridge');

async function call(m) {
    const client = new EventBridgeClient({
        region: m.region || 'us-east-1',
        endpoint: `http://127.0.0.1:${m.port}${m.path}`,
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
        await client.send(new PutEventsCommand({ Entries: [
            { Source: 'app', DetailType: 'order', Detail: '{"n":1}' } ] }));
        return 'ok';

    } catch (e) {
        const meta = e.$metadata || {};

        return `${e.name} ${meta.httpStatusCode} ${meta.attempts}`;

    } finally {
        client.destroy();
    }
}

(async () => {
    for await (const line of readline.createInterface(
        { input: process.stdin }))
    {
        console.log(await call(JSON.parse(line)));
    }
})();
