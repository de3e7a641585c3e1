// Copyright (C) the ngx_http_eventbridge_module authors
//
// Writes the requests that the CloudEvents SDK for JavaScript makes, byte by
// byte, into requests.json.  sdk-10.0.0.json was made by it with the package
// cloudevents 10.0.0 and Node.js 20; t/20_cloudevents.t posts what it holds.
//
//     npm install cloudevents@10.0.0 && node sdk.js

'use strict';

const fs = require('fs');
const http = require('http');
const { CloudEvent, HTTP, Mode, emitterFor, httpTransport }
    = require('cloudevents');

const made = [];

const server = http.createServer((request, response) => {
    const parts = [];

    request.on('data', (part) => parts.push(part));

    request.on('end', () => {
        const raw = request.rawHeaders;
        const headers = [];

        for (let i = 0; i < raw.length; i += 2) {
            if (!/^(host|connection)$/i.test(raw[i])) {
                headers.push(raw[i], raw[i + 1]);
            }
        }

        made.push({ headers,
            body_base64: Buffer.concat(parts).toString('base64') });
        response.end('{}');
    });
});

server.listen(0, '127.0.0.1', async () => {
    const url = `http://127.0.0.1:${server.address().port}/`;

    const base = { source: '/sdk/orders', type: 'com.example.order.created',
        time: '2026-05-04T03:02:01.123Z' };

    const object = new CloudEvent({ ...base, id: 'sdk-1', subject: 'order/1',
        dataschema: 'https://example.com/schema/order',
        data: { order: 1, items: ['a', 'b'] },
        region: 'eu', retries: 3, urgent: true });
    const text = new CloudEvent({ ...base, id: 'sdk-2',
        datacontenttype: 'text/plain', data: 'plain text, 100 % of it' });
    const bytes = new CloudEvent({ ...base, id: 'sdk-3',
        datacontenttype: 'application/octet-stream',
        data: new Uint8Array([0, 1, 2, 253, 254, 255]) });
    const none = new CloudEvent({ ...base, id: 'sdk-4' });

    // the SDK's own transport cannot send an event without data as headers

    for (const [mode, events] of [[Mode.BINARY, [object, text, bytes]],
        [Mode.STRUCTURED, [object, text, bytes, none]]])
    {
        const emit = emitterFor(httpTransport(url), { mode });

        for (const event of events) {
            const id = `${event.id}-${mode}`;

            await emit(event.cloneWith({ id }));
            Object.assign(made[made.length - 1], { id, mode });
        }
    }

    // the SDK reads batches and writes none: an array of what it writes

    const body = '[' + [object, text, bytes, none].map((event) =>
        HTTP.structured(event.cloneWith({ id: `${event.id}-batch` })).body)
        .join(',') + ']';

    await new Promise((done) => {
        const request = http.request(url, { method: 'POST', headers: {
            'content-type': 'application/cloudevents-batch+json',
            'content-length': Buffer.byteLength(body) } }, (response) => {
            response.resume();
            response.on('end', done);
        });

        request.end(body);
    });

    Object.assign(made[made.length - 1], { id: null, mode: 'batch' });

    fs.writeFileSync('requests.json', JSON.stringify(made, null, 1) + '\n');
    server.close();
});
