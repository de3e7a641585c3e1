// Signs messages with the reference library of Standard Webhooks: for each
// line {"secret","id","at","body"} of JSON on stdin (at: seconds, body:
// base64) a line with its webhook-signature; and checks them: with
// "signature", "ok" or why not.

'use strict';

const readline = require('readline');
const { Webhook } = require('standardwebhooks');

readline.createInterface({ input: process.stdin }).on('line', (line) => {
    const m = JSON.parse(line);
    const body = Buffer.from(m.body, 'base64').toString('utf8');
    const webhook = new Webhook(m.secret);

    if (m.signature === undefined) {
        const at = new Date(m.at * 1000);

        console.log(webhook.sign(m.id, at, body));
        return;
    }

    try {
        webhook.verify(body, { 'webhook-id': m.id,
            'webhook-timestamp': String(m.at),
            'webhook-signature': m.signature });
        console.log('ok');

    } catch (e) {
        console.log(e.message);
    }
});
