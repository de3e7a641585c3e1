package Test::EventBridge::GenesysAPI;

# Copyright (C) the ngx_http_eventbridge_module authors

# What the mock of Genesys Cloud answers when nothing else was said: its
# objects, checks and errors.  Test::EventBridge::Genesys says how to use it;
# here is only what runs in its child.

###############################################################################

use warnings;
use strict;

use Digest::MD5 qw/ md5_hex /;
use JSON::PP ();
use MIME::Base64 qw/ decode_base64 /;
use POSIX qw/ ceil strftime /;
use Time::HiRes ();

use Test::EventBridge::Util qw/ now http_date /;

my $json = JSON::PP->new()->utf8()->canonical()->allow_nonref();

# code and message of an error that has no others

my %error = (
    400 => [ 'bad.request', 'The request could not be understood by the '
        . 'server due to malformed syntax.' ],
    401 => [ 'bad.credentials', 'Invalid login credentials.' ],
    403 => [ 'missing.permissions',
        'Unable to perform the requested action. You are missing the '
        . 'following permission(s): integrations:integration:edit' ],
    404 => [ 'not.found', 'The requested resource was not found.' ],
    405 => [ 'method.not.allowed', 'Method not allowed' ],
    408 => [ 'request.timeout', 'The request timed out.' ],
    409 => [ 'general.conflict', 'The resource was changed by another '
        . 'request.' ],
    410 => [ 'gone', 'The resource is gone.' ],
    412 => [ 'precondition.failed', 'The precondition failed.' ],
    413 => [ 'request.entity.too.large', 'The request is over the size '
        . 'limit.  Maximum bytes: 512000' ],
    415 => [ 'unsupported.media.type', 'Unsupported media type' ],
    429 => [ 'too.many.requests.retry.after', 'Rate limit exceeded the '
        . 'maximum. Retry the request in [%s] seconds' ],
    500 => [ 'internal.server.error', 'The server encountered an unexpected '
        . 'condition which prevented it from fulfilling the request.' ],
    501 => [ 'not.implemented', 'Not implemented' ],
    502 => [ 'bad.gateway', 'Bad gateway' ],
    503 => [ 'service.unavailable', 'Service Unavailable - The server is '
        . 'currently unavailable (because it is overloaded or down for '
        . 'maintenance).' ],
    504 => [ 'authentication.request.timeout', 'Request timed out' ]
);

my %token_error = (
    unknown_client => [ 400, 'invalid_client', 'client not found' ],
    wrong_secret => [ 401, 'invalid_client', 'authentication failed' ],
    wrong_grant => [ 400, 'unauthorized_client',
        'client is not authorized to use the requested grant type' ],
    throttled => [ 400, 'invalid_request',
        'rate limit exceeded; retry the request later' ]
);

my %collection = (
    subscriptions => { path => 'eventbridge/subscriptions',
        check => \&_check_subscription },
    outbound => { path => 'outbound/integrations',
        check => \&_check_outbound }
);

###############################################################################

# Objects; members that begin with an underscore are ours.

sub _store {
    my ($self, $kind, $doc) = @_;
    my $g = $self->{g};

    my $n = ++$g->{made};

    $doc->{id} //= sprintf '%08x-0000-4000-8000-%012x', 0x10000000 + $n, $n;
    $doc->{_order} //= $n;

    if ($kind eq 'integrations') {
        $doc->{integrationType} //= { id => 'amazon-eventbridge-source' };
        $doc->{intendedState} //= 'DISABLED';
        $doc->{_config} //= { name => $doc->{name}, version => 1,
            properties => {}, advanced => {}, notes => '', credentials => {} };

    } else {
        $doc->{status} //= 'active';
        $doc->{createdDate} //= _date();
    }

    $g->{$kind}{$doc->{id}} = $doc;

    return $doc;
}

sub _sorted {
    my ($self, $kind) = @_;
    my $set = $self->{g}{$kind};
    return sort { $a->{_order} <=> $b->{_order} } values %$set;
}

sub _date {
    my $time = Time::HiRes::time();
    return strftime('%Y-%m-%dT%H:%M:%S', gmtime $time)
        . sprintf '.%03dZ', ($time - int $time) * 1000;
}

sub _offers {
    my ($self, $what) = @_;
    my $v = $self->{g}{option}{versions};
    return $v eq $what || $v eq 'both';
}

# what a client sees of an object, and its ETag

sub _visible {
    my ($self, $doc) = @_;
    my $body = $self->_offers('body');

    return { map { $_ => $doc->{$_} } grep { !/^_/
        && ($body || $_ ne 'version') } keys %$doc };
}

sub _shown {
    my ($self, $status, $doc) = @_;

    return $self->_reply($status, $self->_visible($doc),
        $self->_offers('etag') ? (ETag => "\"v$doc->{version}\"") : ());
}

# the answer to an update that is based on something old; undef when it is not

sub _stale {
    my ($self, $req, $doc, $body) = @_;

    if ($self->_offers('etag')) {
        my $given = _header($req, 'If-Match');

        return $self->_conflict($given, "\"v$doc->{version}\"")
            if defined $given && $given ne '*'
            && $given ne "\"v$doc->{version}\"";

        return $self->_invalid([ 'missing', 'If-Match' ])
            if !defined $given && $self->{g}{option}{strict}
            && !defined $body->{version};
    }

    if ($self->_offers('body')) {
        return $self->_conflict($body->{version}, $doc->{version})
            if defined $body->{version}
            && "$body->{version}" ne "$doc->{version}";

        return $self->_invalid([ 'missing', 'version' ])
            if !defined $body->{version} && $self->{g}{option}{strict}
            && !defined _header($req, 'If-Match');
    }

    return;
}

sub _conflict {
    my ($self, $given, $current) = @_;

    my $status = $self->{g}{option}{conflict};

    return $self->_error($status, message => "The version $given does not "
        . "match the current version $current",
        $status == 400 ? (code => 'version.mismatch') : ());
}

###############################################################################

# Answers.  A correlation id belongs to a request.

sub _reply {
    my ($self, $status, $doc, @headers) = @_;

    my $body = ref $doc ? $json->encode($doc) : $doc // '';

    return { status => $status, body => $body, headers => [
        'Content-Type' => 'application/json',
        'ININ-Correlation-Id' => $self->{correlation}, @headers ],
        $self->{g}{option}{chunked} ? (chunked => 1) : () };
}

sub _error {
    my ($self, $status, %opt) = @_;

    my ($code, $message) = @{$error{$status} // [ "error.$status", 'Error' ]};
    my (@headers, $wait);

    if (defined $opt{retry_date}) {
        $wait = $opt{retry_date};
        push @headers, 'Retry-After' => http_date(Time::HiRes::time()
            + $wait);

    } elsif (defined $opt{retry_after}) {
        $wait = $opt{retry_after};
        push @headers, 'Retry-After' => $wait;
    }

    push @headers, @{$opt{headers} // []};

    return { %{$self->_reply($status, '', @headers)}, body => $opt{body} }
        if defined $opt{body};

    if ($opt{html}) {
        my $r = $self->_reply($status, "<html>\r\n<head><title>$status "
            . "ERROR</title></head>\r\n<body><h1>$status ERROR</h1>\r\n"
            . "The request could not be satisfied.\r\n</body></html>\r\n");

        # those in front of the API know nothing of its headers
        $r->{headers} = [ 'Content-Type' => 'text/html', @headers ];
        return $r;
    }

    return $self->_reply($status, '', @headers) if $opt{empty};
    return $self->_reply($status, {}, @headers) if $status < 300;

    return $self->_reply($status, {
        message => $opt{message} // $message =~ s/%s/$wait || 'some'/er,
        code => $opt{code} // $code, status => 0 + $status,
        messageParams => {}, contextId => $self->{correlation},
        details => $opt{details} // [], errors => []
    }, @headers);
}

# 400 with [ what, field ] of each violation

sub _invalid {
    my ($self, @violations) = @_;

    return $self->_error(400, message => 'Invalid: ' . join(', ',
        map { "$_->[1] ($_->[0])" } @violations), code => 'invalid.value',
        details => [ map { { errorCode => $_->[0], fieldName => $_->[1] } }
            @violations ]);
}

sub _token_error {
    my ($self, $name) = @_;

    my ($status, $error, $text) = @{$token_error{$name}
        // die "unknown error \"$name\"\n"};

    return $self->_reply($status, { error => $error, description => $text,
        error_description => $text });
}

sub _header {
    my ($req, $name) = @_;
    my ($value) = $req->{head} =~ /^\Q$name\E:[ \t]*([^\r\n]*)/mi;
    return $value;
}

sub _unescape {
    my ($text) = @_;
    $text =~ s/%([0-9a-fA-F]{2})/chr hex $1/ge;
    return $text;
}

sub _arguments {
    my ($text) = @_;
    my %args;

    for my $pair (split /&/, $text // '') {
        my ($name, $value) = map { _unescape(tr/+/ /r) }
            split(/=/, $pair, 2), '';
        $args{$name} = $value;
    }

    return \%args;
}

###############################################################################

# A request that nothing was said about.

sub _real {
    my ($self, $req) = @_;

    return $self->_token($req) if $req->{path} eq '/oauth/token';

    my ($path) = $req->{path} =~ m{^/api/v2/(.*)}s
        or return $self->_error(404);

    my $refused = $self->_bearer($req);
    return $refused if $refused;

    $req->{args} = _arguments($req->{uri} =~ /\?(.*)/s ? $1 : '');

    if ($req->{method} =~ /^(?:POST|PUT|PATCH)\z/) {
        return $self->_error(413) if length ${$req->{body}} > 512000;

        return $self->_error(415)
            if (_header($req, 'Content-Type') // '')
            !~ m{^application/json(?:\s*;.*)?\z}i;

        $req->{json} = eval { $json->decode(${$req->{body}}) };

        return $self->_error(400) if ref $req->{json} ne 'HASH';
    }

    return $self->_route($req, $path);
}

sub _route {
    my ($self, $req, $path) = @_;

    my $live = $self->{g}{option}{live};
    my $segment = qr{[^/]+};

    return $self->_error(404)
        if $live && $path !~ m{^integrations(?:/(?!eventbridge/)|\z)};

    for my $kind (sort keys %collection) {
        my $base = $collection{$kind}{path};

        next if $path !~ m{^$base(?:/($segment))?\z};

        return defined $1 ? $self->_item($req, $kind, _unescape($1))
            : $self->_collection($req, $kind);
    }

    return $self->_policy($req, _unescape($1))
        if $path =~ m{^eventbridge/retentionpolicies/($segment)\z};

    return $self->_document($req, _unescape($1))
        if $path =~ m{^integrations/eventbridge/($segment)\z};

    return $self->_integrations($req) if $path eq 'integrations';

    return $self->_integration($req, _unescape($1), $2)
        if $path =~ m{^integrations/($segment)(/config/current)?\z};

    return $self->_error(404);
}

###############################################################################

# Tokens.

sub _token {
    my ($self, $req) = @_;
    my $g = $self->{g};
    my ($id, $secret, $name, $answer);

    return $self->_error(405) if $req->{method} ne 'POST';

    my $args = _arguments(${$req->{body}});
    my $log = { n => $req->{n}, time => now() };
    my $basic = _header($req, 'Authorization');

    if (defined $basic) {
        ($id, $secret) = split /:/, decode_base64($1), 2
            if $basic =~ /^Basic (\S+)\z/i;
        $log->{via} = 'basic';

    } else {
        ($id, $secret) = @$args{qw/ client_id client_secret /};
        $log->{via} = 'body';
    }

    my $client = defined $id ? $g->{clients}{$id} : undef;
    my $form = (_header($req, 'Content-Type') // '')
        =~ m{^application/x-www-form-urlencoded(?:\s*;.*)?\z}i;

    if (!$form || ($args->{grant_type} // '') ne 'client_credentials') {
        $name = !$form || !defined $args->{grant_type} ? 'invalid_request'
            : 'unsupported_grant_type';
        $answer = $self->_reply(400, { error => $name, description =>
            'bad request', error_description => 'bad request' });

    } elsif (!$client) {
        $answer = $self->_token_error($name = 'unknown_client');

    } elsif (!grep { $_ eq ($secret // '') } @{$client->{secrets}}) {
        $answer = $self->_token_error($name = 'wrong_secret');

    } elsif (!$client->{grant}) {
        $answer = $self->_token_error($name = 'wrong_grant');

    } elsif ($self->_over('login_limit', $id)) {
        $answer = $self->_token_error($name = 'throttled');

    } else {
        my $token = sprintf 'tok-%04d-%s', ++$g->{issued},
            join '', map { ('a' .. 'z', 0 .. 9)[rand 36] } 1 .. 40;

        $g->{tokens}{$token} = { client => $id,
            until => now() + $client->{lifetime} };
        $log->{token} = $token;

        $answer = $self->_reply(200, { access_token => $token,
            token_type => 'bearer', expires_in => int $client->{lifetime} });
    }

    $log->{client} = $id;
    $log->{status} = $answer->{status};
    $log->{error} = $name if defined $name;
    push @{$g->{log}}, $log;

    return $answer;
}

# the answer to who has no valid token; undef for all others

sub _bearer {
    my ($self, $req) = @_;
    my $g = $self->{g};

    my $given = _header($req, 'Authorization')
        // return $self->_error(401, code => 'authentication.required',
            message => 'No authentication bearer token specified in '
            . 'authorization header.');

    my ($token) = $given =~ /^bearer +(\S+)\z/i
        or return $self->_error(401);

    my $known = $g->{tokens}{$token} or return $self->_error(401);

    return $self->_error(401, code => 'credentials.expired',
        message => 'The specified credentials have expired')
        if now() >= $known->{until};

    my $wait = $self->_over('limit', $token);

    return $wait ? $self->_error(429, retry_after => $wait) : undef;
}

# Seconds until there is room again; 0 when there is, and it is taken.

sub _over {
    my ($self, $name, $who) = @_;
    my $g = $self->{g};

    my ($n, $sec) = @{$g->{option}{$name} // return 0};
    my $w = $g->{windows}{$name}{$who} //= { since => now(), n => 0 };

    if (now() - $w->{since} >= $sec) {
        @$w{qw/ since n /} = (now(), 0);
    }

    return 0 if ++$w->{n} <= $n;

    return ceil($w->{since} + $sec - now()) || 1;
}

###############################################################################

# Collections.

sub _page {
    my ($self, $req, @all) = @_;

    my $args = $req->{args};
    my $option = $self->{g}{option};
    my $size = $args->{pageSize} // $option->{page_size};
    my $page = $args->{pageNumber} // 1;

    my @bad = (
        $size !~ /^[1-9]\d{0,8}\z/ || $size > $option->{page_max}
            ? [ 'range', 'pageSize' ] : (),
        $page !~ /^[1-9]\d{0,8}\z/ ? [ 'range', 'pageNumber' ] : ()
    );

    return $self->_invalid(@bad) if @bad;

    @all = grep { $_->{name} eq $args->{name} } @all
        if $option->{name_filter} && defined $args->{name};

    my $last = ceil(@all / $size) || 1;
    my $from = ($page - 1) * $size;
    my $to = $from + $size - 1;
    my @entities = @all[$from .. ($to < @all ? $to : $#all)];

    my $uri = sub {
        my ($n) = @_;
        my %other = (%$args, pageSize => $size, pageNumber => $n);

        return "$req->{path}?" . join '&', map { "$_="
            . $other{$_} =~ s/([^\w.~-])/sprintf '%%%02X', ord $1/ger }
            sort keys %other;
    };

    return $self->_reply(200, { entities => \@entities, pageSize => 0 + $size,
        pageNumber => 0 + $page, total => scalar @all, pageCount => $last,
        firstUri => $uri->(1), lastUri => $uri->($last),
        selfUri => $uri->($page),
        $page < $last ? (nextUri => $uri->($page + 1)) : (),
        $page > 1 ? (previousUri => $uri->($page - 1)) : () });
}

# the answer when another object of a kind has the name

sub _taken {
    my ($self, $kind, $name, $id) = @_;

    my ($other) = grep { ($_->{name} // '') eq $name
        && (!defined $id || $_->{id} ne $id) } values %{$self->{g}{$kind}};

    return if !$other;

    return $self->_error(409, message => "An object with the name \"$name\" "
        . 'exists already.', details => [ { errorCode => 'duplicate',
        fieldName => 'name', entityId => $other->{id},
        entityName => $name } ]);
}

sub _collection {
    my ($self, $req, $kind) = @_;
    my $doc = $req->{json};

    if ($req->{method} eq 'GET') {
        return $self->_page($req, map { $self->_visible($_) }
            $self->_sorted($kind));
    }

    return $self->_error(405) if $req->{method} ne 'POST';

    my @bad = $collection{$kind}{check}->($doc);
    return $self->_invalid(@bad) if @bad;

    my $taken = $self->_taken($kind, $doc->{name});
    return $taken if $taken;

    delete @$doc{grep { /^_/ || /^(?:id|createdDate|status)\z/ } keys %$doc};
    $doc->{version} = 1;

    return $self->_shown($self->{g}{option}{created},
        $self->_store($kind, $doc));
}

sub _item {
    my ($self, $req, $kind, $id) = @_;
    my ($doc, $answer);

    my $old = $self->{g}{$kind}{$id} or return $self->_error(404);

    return $self->_shown(200, $old) if $req->{method} eq 'GET';

    if ($req->{method} eq 'DELETE') {
        delete $self->{g}{$kind}{$id};
        return $self->_reply(204);
    }

    return $self->_error(405) if $req->{method} ne 'PUT';

    $doc = $req->{json};

    my @bad = $collection{$kind}{check}->($doc);
    return $self->_invalid(@bad) if @bad;

    $answer = $self->_stale($req, $old, $doc)
        // $self->_taken($kind, $doc->{name}, $id);
    return $answer if $answer;

    delete @$doc{grep { /^_/ } keys %$doc};
    @$doc{qw/ id createdDate _order /} = @$old{qw/ id createdDate _order /};
    $doc->{status} //= $old->{status};
    $doc->{version} = $old->{version} + 1;

    return $self->_shown(200, $self->_store($kind, $doc));
}

sub _text {
    my ($value) = @_;
    return defined $value && !ref $value && length $value;
}

sub _integer {
    my ($value, $min, $max) = @_;
    return defined $value && !ref $value && $value =~ /^-?\d{1,9}\z/
        && $value >= $min && $value <= $max;
}

sub _check_subscription {
    my ($doc) = @_;

    my $to = ref $doc->{destination} eq 'HASH' ? $doc->{destination} : {};
    my $filter = $doc->{filter};

    return (
        _text($doc->{name}) ? () : [ 'missing', 'name' ],
        ($to->{type} // '') eq 'http' ? () : [ 'value', 'destination.type' ],
        ($to->{endpoint} // '') =~ m{^https?://[^/\s]+} ? ()
            : [ 'value', 'destination.endpoint' ],
        !defined $filter || (ref $filter eq 'HASH'
            && ref $filter->{eventSources} eq 'ARRAY') ? ()
            : [ 'value', 'filter.eventSources' ],
        _integer($doc->{retentionPeriodDays}, 1, 365) ? ()
            : [ 'range', 'retentionPeriodDays' ]
    );
}

sub _check_outbound {
    my ($doc) = @_;

    my $retry = ref $doc->{retryPolicy} eq 'HASH' ? $doc->{retryPolicy} : {};

    return (
        _text($doc->{name}) ? () : [ 'missing', 'name' ],
        _text($doc->{type}) ? () : [ 'missing', 'type' ],
        (grep { ($_ // '') !~ m{^https://[^/\s]+} } defined $doc->{uri}
            || ref $doc->{uris} ne 'ARRAY' ? $doc->{uri} : (),
            ref $doc->{uris} eq 'ARRAY' ? @{$doc->{uris}} : ())
            ? [ 'value', 'uri' ] : (),
        _integer($retry->{maxRetries} // 0, 0, 5) ? ()
            : [ 'range', 'retryPolicy.maxRetries' ]
    );
}

###############################################################################

# Retention policies.

sub _policy {
    my ($self, $req, $id) = @_;
    my $option = $self->{g}{option};
    my $old = $self->{g}{policies}{$id};
    my $doc = $req->{json};

    if ($req->{method} eq 'GET') {
        return $self->_error(404) if !$old;

        $old->{status} = $option->{policy_end} if defined _polled($old);

        return $self->_shown(200, $old);
    }

    return $self->_error(405) if $req->{method} ne 'PUT';
    return $self->_error(404) if !$old && !$option->{upsert};

    my $tiers = ref $doc->{tiering} eq 'HASH' ? $doc->{tiering} : {};

    my @bad = (
        defined $doc->{id} && $doc->{id} ne $id ? [ 'value', 'id' ] : (),
        _text($doc->{name}) ? () : [ 'missing', 'name' ],
        ref $doc->{eventTypes} eq 'ARRAY' ? () : [ 'value', 'eventTypes' ],
        ($doc->{retentionPeriod} // '') =~ /^P(?:\d+[YMWD])+\z/ ? ()
            : [ 'value', 'retentionPeriod' ],
        map { _integer($tiers->{$_}, 0, 365) ? ()
            : [ 'range', "tiering.$_" ] } qw/ hotDays warmDays coldDays /
    );

    return $self->_invalid(@bad) if @bad;

    my $stale = $old && $self->_stale($req, $old, $doc);
    return $stale if $stale;

    delete @$doc{grep { /^_/ || $_ eq 'status' } keys %$doc};
    $doc->{id} = $id;
    $doc->{version} = ($old ? $old->{version} : 0) + 1;
    @$doc{qw/ createdDate _order /} = @$old{qw/ createdDate _order /} if $old;

    if ($option->{policy_polls}) {
        $doc->{status} = 'pending';
        $doc->{_polls} = $option->{policy_polls};

    } else {
        $doc->{status} = $option->{policy_end};
    }

    return $self->_shown(200, $self->_store('policies', $doc));
}

###############################################################################

# The documents of the source-side filters: bytes.

sub _document {
    my ($self, $req, $id) = @_;
    my $g = $self->{g};
    my $doc = $g->{documents}{$id} or return $self->_error(404);

    my $tag = '"' . md5_hex($doc->{bytes}) . '"';
    my @tag = $doc->{etag} ? (ETag => $tag) : ();

    if ($req->{method} eq 'GET') {
        push @{$g->{served}{$id}}, $doc->{bytes};
        return $self->_reply(200, $doc->{bytes}, @tag);
    }

    return $self->_error(405) if $req->{method} ne 'PUT';

    my $given = _header($req, 'If-Match');
    my $bytes = ${$req->{body}};

    if ($doc->{etag}) {
        return $self->_conflict($given, $tag)
            if defined $given && $given ne '*' && $given ne $tag;

        return $self->_invalid([ 'missing', 'If-Match' ])
            if !defined $given && $g->{option}{strict};
    }

    return $self->_invalid([ 'value', 'id' ])
        if defined $req->{json}{id} && $req->{json}{id} ne $id;

    if ($doc->{versions}) {
        my @old = _version_at($doc->{bytes});
        my @new = _version_at($bytes);

        return $self->_invalid([ 'missing', 'version' ]) if !@new;

        my ($was, $is) = (substr($doc->{bytes}, $old[0], $old[1]),
            substr($bytes, $new[0], $new[1]));

        return $self->_conflict($is, $was) if $is ne $was;

        push @{$g->{puts}{$id}}, $bytes;
        substr($bytes, $new[0], $new[1]) = $was + 1;

    } else {
        push @{$g->{puts}{$id}}, $bytes;
    }

    $doc->{bytes} = $bytes;

    return $self->_reply(200, $bytes, $doc->{etag}
        ? (ETag => '"' . md5_hex($bytes) . '"') : ());
}

# Where the value of the first "version" at the top of an object is: offset
# and length, or nothing.

sub _version_at {
    my ($text) = @_;
    my ($depth, $key) = (0, 0);

    while ($text =~ /\G(?:\s+|("(?:[^"\\]|\\.)*")|([\[{])|([\]}])|([,:])
        |([^\s"\[\]{},:]+))/gcx)
    {
        my ($string, $open, $close, $mark, $other) = ($1, $2, $3, $4, $5);

        return ($-[0], $+[0] - $-[0])
            if $depth == 1 && $key == 2 && (defined $string
                || defined $other);

        $depth++ if defined $open;
        $depth-- if defined $close;

        if (defined $string && $depth == 1) {
            $key = $string eq '"version"' ? 1 : 0;

        } elsif (defined $mark) {
            $key = $key == 1 && $mark eq ':' && $depth == 1 ? 2 : 0;
        }
    }

    return;
}

###############################################################################

# Integrations, as they are in the public API.

sub _integration_shown {
    my ($self, $doc, $expand) = @_;

    my $shown = { map { $_ => $doc->{$_} } grep { !/^_/ } keys %$doc };

    my $config = $doc->{_config};
    my $on = $doc->{intendedState} eq 'ENABLED';
    my $code = !$on ? 'INACTIVE' : !%{$config->{properties}} ? 'ERROR'
        : defined $doc->{_polls} ? 'ACTIVATING' : 'ACTIVE';

    $shown->{reportedState} = { code => $code, effective =>
        $code eq 'ACTIVE' ? 'integration is active' : lc $code,
        detail => {}, lastUpdated => _date() };
    $shown->{selfUri} = "/api/v2/integrations/$doc->{id}";
    $shown->{config} = { current => $self->_config_shown($doc) }
        if ",$expand," =~ /,config\.current,/;

    return $shown;
}

# it has been looked at once more

sub _polled {
    my ($doc) = @_;

    return if !defined $doc->{_polls} || $doc->{_polls}-- > 0;

    return delete $doc->{_polls};
}

sub _config_shown {
    my ($self, $doc) = @_;
    return { %{$doc->{_config}}, id => $doc->{id},
        selfUri => "/api/v2/integrations/$doc->{id}/config/current" };
}

sub _integrations {
    my ($self, $req) = @_;
    my $doc = $req->{json};

    if ($req->{method} eq 'GET') {
        my $type = $req->{args}{integrationType};

        _polled($_) for $self->_sorted('integrations');

        return $self->_page($req, map { $self->_integration_shown($_,
            $req->{args}{expand} // '') } grep { !defined $type
            || $_->{integrationType}{id} eq $type }
            $self->_sorted('integrations'));
    }

    return $self->_error(405) if $req->{method} ne 'POST';

    my $type = ref $doc->{integrationType} eq 'HASH'
        ? $doc->{integrationType}{id} : undef;

    return $self->_invalid([ 'value', 'integrationType.id' ])
        if ($type // '') ne 'amazon-eventbridge-source';

    my $made = $self->_store('integrations', {
        name => $doc->{name} // 'Amazon EventBridge Source', version => 1,
        integrationType => { id => $type }, notes => $doc->{notes} // '' });

    return $self->_reply(200, $self->_integration_shown($made, ''));
}

sub _integration {
    my ($self, $req, $id, $config) = @_;
    my $set = $self->{g}{integrations};
    my $doc = $set->{$id} or return $self->_error(404);

    return $self->_config($req, $doc) if $config;

    if ($req->{method} eq 'DELETE') {
        delete $set->{$id};
        return $self->_reply(200, $self->_integration_shown($doc, ''));
    }

    if ($req->{method} eq 'PATCH') {
        my $state = $req->{json}{intendedState} // '';

        return $self->_invalid([ 'value', 'intendedState' ])
            if $state !~ /^(?:ENABLED|DISABLED|DELETED|RESTORED)\z/;

        $doc->{intendedState} = $state;
        $doc->{version}++;
        $doc->{_polls} = $self->{g}{option}{integration_polls}
            if $state eq 'ENABLED' && $self->{g}{option}{integration_polls};
        delete $set->{$id} if $state eq 'DELETED';

    } elsif ($req->{method} eq 'GET') {
        _polled($doc);

    } else {
        return $self->_error(405);
    }

    return $self->_reply(200, $self->_integration_shown($doc,
        $req->{args}{expand} // ''));
}

sub _config {
    my ($self, $req, $doc) = @_;
    my $new = $req->{json};
    my $config = $doc->{_config};

    return $self->_reply(200, $self->_config_shown($doc))
        if $req->{method} eq 'GET';
    return $self->_error(405) if $req->{method} ne 'PUT';

    my $p = ref $new->{properties} eq 'HASH' ? $new->{properties} : {};
    my $suffix = $p->{eventSourceSuffix} // '';

    my @bad = (
        _integer($new->{version}, 0, 999999999) ? ()
            : [ 'missing', 'version' ],
        ($p->{awsAccountId} // '') =~ /^\d{12}\z/ ? ()
            : [ 'value', 'properties.awsAccountId' ],
        _text($p->{awsAccountRegion}) ? ()
            : [ 'missing', 'properties.awsAccountRegion' ],
        $suffix =~ /^[A-Za-z0-9._-]{1,64}\z/ ? ()
            : [ 'value', 'properties.eventSourceSuffix' ],
        ref $p->{eventFilter} eq 'ARRAY' ? ()
            : [ 'value', 'properties.eventFilter' ],
        (grep { $_->{id} ne $doc->{id}
            && ($_->{_config}{properties}{eventSourceSuffix} // '')
            eq $suffix } values %{$self->{g}{integrations}})
            ? [ 'duplicate', 'properties.eventSourceSuffix' ] : ()
    );

    return $self->_invalid(@bad) if @bad;

    return $self->_conflict($new->{version}, $config->{version})
        if $new->{version} != $config->{version};

    $doc->{_config} = { %$config, (map { exists $new->{$_}
        ? ($_ => $new->{$_}) : () } qw/ name properties advanced notes
        credentials /), version => $config->{version} + 1 };
    $doc->{name} = $new->{name} if _text($new->{name});

    return $self->_reply(200, $self->_config_shown($doc));
}

###############################################################################

1;
