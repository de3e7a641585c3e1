package Test::EventBridge::Genesys;

# Copyright (C) the ngx_http_eventbridge_module authors

# A Genesys Cloud: a mock (Test::EventBridge::Mock, all of it works here too)
# that keeps clients, tokens and objects, checks what it gets, and fails when
# it is told to.
#
#   my $g = $t->genesys(1);                 # https, at port(1); tls => 0: http
#   $g->client('id', 'secret', lifetime => 2);
#   ... $g->url(), $g->ca(), $g->plain_port() ...
#   $g->fail(PUT => '/retentionpolicies/', times => 3, status => 429,
#       retry_after => 2);
#   ... requests ...
#   is(scalar $g->calls(PUT => '/retentionpolicies/'), 4, 'four tries');
#   is($g->object(policies => 'p1')->{status}, 'active', 'in the end');
#
# State and behaviour live in the child: after stop() it is new.  The record
# of requests has tokens and secrets as they came: $t->secret(..., ok_in =>
# qr/mock-\d+\.jsonl/).
#
# Clients and tokens
#   client(ID, SECRET, %opt)    lifetime => 86399 (fractions are cut in
#                               expires_in), grant => 0: it may not do this
#   rotate(ID, SECRET, keep => 1)       a new secret; keep: the old one too
#   revoke([TOKEN])             this or every token is unknown from now on
#   expire()                    every token is over
#   token_requests()            { n, time, client, via (basic, body), status,
#                               error, token } of each, in order
#
# Options: option(NAME => VALUE, ...)
#   live          1: as a live organisation, which knows no endpoint of ours
#                 (404 not.found); the integrations are real
#   versions      body (default), etag, both or none: what policies,
#                 subscriptions and outbound integrations offer against lost
#                 updates; where one is offered it is checked when it comes
#   strict        1: a PUT without it is refused with 400
#   conflict      409 (default), 400 ("does not match the current version")
#                 or 412: the answer to an old version
#   created       201 (default) or 200, the answer to a POST
#   policy_polls  n: a policy that was put is pending for n GETs (0)
#   policy_end    what it is then (active)
#   upsert        0: PUT does not make a policy (1)
#   integration_polls  n: GETs until ACTIVATING is ACTIVE (0)
#   page_size, page_max  of lists, when not asked for (25), at most (100)
#   name_filter   1: lists obey ?name=
#   chunked       1: answers have no Content-Length
#   limit, login_limit  [ N, SECONDS ]: N requests a token (a client) within
#                 so long, then 429 (rate limit exceeded)
#
# Failures: fail(METHOD, REGEX, %rule) for requests whose URI matches; the
# first rule made that is not used up wins.  METHOD may be '*'.
#   times         how many (1); 0: until forgive()
#   skip          let so many pass before
#   match         only with this text in the body
#   status        an answer with the error body of this status; code, message,
#                 details, headers change it, body replaces it
#   retry_after   seconds, or any text; retry_date: a date so many seconds
#                 ahead
#   html, empty   1: the page of a CDN, no body at all
#   error         of /oauth/token: unknown_client, wrong_secret, wrong_grant,
#                 throttled
#   reset, close, hang, truncate, huge, half, raw, chunked, delay, last, info:
#                 see the mock.  Without a status or body of its own, delay,
#                 truncate, chunked, half, last, info and headers change the
#                 real answer; with reset, close, hang, raw and every answer of
#                 its own, the request has no effect, unless:
#   apply         1: it has its effect all the same (what hangs is then
#                 released with the real answer; without it, release() is when
#                 the request has its effect)
#   do            [ [ OPERATION => arguments ], ... ] that others did just
#                 before: put, remove, document, rotate, revoke, expire, ...
# rules() lists { method, uri, left, used }; spent(): none has a use left;
# forgive() drops all.
#
# Objects: kinds are subscriptions, policies, outbound and integrations
#   put(KIND, { id, ... })      as someone else does: version + 1, new fields
#                               over the old ones; returns the object.  The
#                               configuration of an integration is in _config
#   remove(KIND, ID)            true when it was there
#   object(KIND, ID)            undef when it is not; named(KIND, NAME);
#   objects(KIND)               in the order they were made
# and documents of /api/v2/integrations/eventbridge/{id} are bytes:
#   document(ID), document(ID, BYTES, etag => 1)    versions => 1: the member
#                               "version" at the top is checked and goes up,
#                               nothing else is touched
#   remove('documents', ID)
#   puts(ID), served(ID)        the bytes of each PUT that was taken, and of
#                               each answer to a GET
#
# The record
#   calls([METHOD [, REGEX]])   requests with method(), uri(), header(NAME),
#                               body(), json(), time(); all but those of tokens
#                               when REGEX is not given
#   wait_calls(METHOD, REGEX, N, SECONDS)
#   answers()                   [ n, method, uri, status ] of what it answered
#                               itself, in order (status 0: none)
#
# Down: down([MS]) and up(), refuse([MS]) and accept(), freeze() and thaw().

###############################################################################

use warnings;
use strict;

use parent qw/ Test::EventBridge::GenesysAPI Test::EventBridge::Mock /;

use Test::EventBridge::Util qw/ now wait_for /;

my %option = (live => 0, versions => 'body', strict => 0, conflict => 409,
    created => 201, policy_polls => 0, policy_end => 'active', upsert => 1,
    integration_polls => 0, page_size => 25, page_max => 100,
    name_filter => 0, chunked => 0, limit => undef, login_limit => undef);

###############################################################################

# what a test calls

sub new {
    my ($class, $port, $dir, %opt) = @_;
    return $class->SUPER::new($port, $dir, tls => 1, %opt);
}

sub start {
    my ($self) = @_;

    $self->{g} = { option => { %option }, clients => {}, tokens => {},
        rules => [], log => [], answers => [], windows => {}, issued => 0,
        made => 0, documents => {}, served => {}, puts => {},
        map { $_ => {} } qw/ subscriptions policies outbound integrations / };

    return $self->SUPER::start();
}

sub _op {
    my ($self, $op, @args) = @_;

    my $reply = $self->_control(cmd => 'genesys', op => $op, args => \@args);

    die "$op: $reply->{error}" if defined $reply->{error};

    return $reply->{value};
}

sub client {
    my ($self, $id, $secret, %opt) = @_;
    $self->_op(client => $id, $secret, \%opt);
    return $self;
}

sub rotate {
    my ($self, $id, $secret, %opt) = @_;
    $self->_op(rotate => $id, $secret, \%opt);
    return $self;
}

sub revoke {
    my ($self, $token) = @_;
    $self->_op(revoke => $token);
    return $self;
}

sub expire {
    my ($self) = @_;
    $self->_op('expire');
    return $self;
}

sub option {
    my ($self, %opt) = @_;
    $self->_op(option => %opt);
    return $self;
}

sub fail {
    my ($self, $method, $uri, %rule) = @_;
    $self->_op(fail => $method, "$uri", \%rule);
    return $self;
}

sub forgive {
    my ($self) = @_;
    $self->_op('forgive');
    return $self;
}

sub document {
    my ($self, $id, @more) = @_;

    return $self->_op(read_document => $id) if !@more;

    $self->_op(document => $id, @more);

    return $self;
}

sub put { return shift->_op(put => @_) }
sub remove { return shift->_op(remove => @_) }
sub object { return shift->_op(object => @_) }
sub objects { return @{shift->_op(objects => @_)} }
sub named { return (grep { $_->{name} eq $_[2] } $_[0]->objects($_[1]))[0] }
sub puts { return @{shift->_op(puts => @_)} }
sub served { return @{shift->_op(served => @_)} }
sub token_requests { return @{shift->_op('token_requests')} }
sub answers { return @{shift->_op('answers')} }
sub rules { return @{shift->_op('rules')} }
sub spent { return !grep { $_->{left} } shift->rules() }

sub calls {
    my ($self, $method, $re) = @_;

    return grep {
        (!defined $method || $method eq '*' || $_->method() eq $method)
        && (defined $re ? $_->uri() =~ $re : $_->path() ne '/oauth/token')
        } $self->requests();
}

sub wait_calls {
    my ($self, $method, $re, $n, $sec) = @_;
    return wait_for(sub { $n <= $self->calls($method, $re) }, $sec);
}

###############################################################################

# Below is the child.

sub _command {
    my ($self, $cmd) = @_;

    return $self->SUPER::_command($cmd) if $cmd->{cmd} ne 'genesys';

    my $value = eval { $self->_do($cmd->{op}, @{$cmd->{args}}) };

    return $@ eq '' ? { value => $value } : { error => $@ };
}

sub _do {
    my ($self, $op, @args) = @_;

    my $code = $self->can("_do_$op") or die "unknown operation\n";

    return $code->($self, $self->{g}, @args);
}

# a name that is misspelled in a test must not pass for one that does nothing

sub _names {
    my ($what, $given, @known) = @_;

    for my $name (keys %$given) {
        die "unknown \"$name\" of $what\n" if !grep { $_ eq $name } @known;
    }
}

sub _do_client {
    my ($self, $g, $id, $secret, $opt) = @_;

    _names('a client', $opt, qw/ lifetime grant /);
    $g->{clients}{$id} = { lifetime => 86399, grant => 1, %{$opt // {}},
        secrets => [ $secret ] };
    return;
}

sub _do_rotate {
    my ($self, $g, $id, $secret, $opt) = @_;
    my $client = $g->{clients}{$id} or die "no client \"$id\"\n";

    _names('a rotation', $opt, qw/ keep /);
    $client->{secrets} = [ $secret, $opt->{keep} ? @{$client->{secrets}} : () ];
    return;
}

sub _do_revoke {
    my ($self, $g, $token) = @_;

    if (defined $token) {
        delete $g->{tokens}{$token};

    } else {
        $g->{tokens} = {};
    }

    return;
}

sub _do_expire {
    my ($self, $g) = @_;
    $_->{until} = now() for values %{$g->{tokens}};
    return;
}

sub _do_option {
    my ($self, $g, %opt) = @_;

    _names('the options', \%opt, keys %option);
    @{$g->{option}}{keys %opt} = values %opt;
    return;
}

sub _do_fail {
    my ($self, $g, $method, $uri, $rule) = @_;

    _names('a rule', $rule, qw/ times skip match status code message details
        headers body retry_after retry_date html empty error reset close hang
        truncate huge half raw chunked delay last info apply do /);

    for my $do (@{$rule->{do} // []}) {
        $self->can("_do_$do->[0]") or die "unknown operation \"$do->[0]\"\n";
    }

    $self->_token_error($rule->{error}) if defined $rule->{error};

    my $times = delete $rule->{times} // 1;

    push @{$g->{rules}}, { method => $method, uri => $uri, re => qr/$uri/,
        rule => $rule, left => $times || -1, used => 0,
        skip => delete $rule->{skip} // 0 };
    return;
}

sub _do_forgive {
    my ($self, $g) = @_;
    $g->{rules} = [];
    return;
}

sub _do_rules {
    my ($self, $g) = @_;

    return [ map { { method => $_->{method}, uri => $_->{uri},
        left => $_->{left} < 0 ? 0 : $_->{left}, used => $_->{used} } }
        @{$g->{rules}} ];
}

sub _do_token_requests { return $_[1]{log} }
sub _do_answers { return $_[1]{answers} }

sub _kind {
    my ($g, $kind) = @_;

    die "unknown kind \"$kind\"\n"
        if !grep { $_ eq $kind } qw/ subscriptions policies outbound
        integrations /;

    return $g->{$kind};
}

# what a test sees of an object

sub _public {
    my ($doc) = @_;
    return { map { $_ => $doc->{$_} } grep { !/^_/ || $_ eq '_config' }
        keys %$doc };
}

sub _do_put {
    my ($self, $g, $kind, $doc) = @_;

    my $set = _kind($g, $kind);
    my $old = defined $doc->{id} ? $set->{$doc->{id}} : undef;

    $doc = { %{$old // {}}, %$doc };
    $doc->{version} = ($old->{version} // 0) + 1;

    return _public($self->_store($kind, $doc));
}

sub _do_remove {
    my ($self, $g, $kind, $id) = @_;

    my $set = $kind eq 'documents' ? $g->{documents} : _kind($g, $kind);

    return delete $set->{$id} ? 1 : 0;
}

sub _do_object {
    my ($self, $g, $kind, $id) = @_;
    my $object = _kind($g, $kind)->{$id} or return;
    return _public($object);
}

sub _do_objects {
    my ($self, $g, $kind) = @_;
    return [ map { _public($_) } $self->_sorted($kind) ];
}

sub _do_document {
    my ($self, $g, $id, $bytes, %opt) = @_;

    _names('a document', \%opt, qw/ etag versions /);
    $g->{documents}{$id} = { bytes => $bytes, %opt };
    return;
}

sub _do_read_document {
    my ($self, $g, $id) = @_;
    return ($g->{documents}{$id} // {})->{bytes};
}

sub _do_puts { return $_[1]{puts}{$_[2]} // [] }
sub _do_served { return $_[1]{served}{$_[2]} // [] }

###############################################################################

# One request.

sub _default {
    my ($self, $req) = @_;
    my $g = $self->{g};

    $self->{correlation} = sprintf '%08x-%04x-4%03x-8%03x-%012x', $req->{n},
        map { int rand 2 ** $_ } 16, 12, 12, 32;

    my $found = $self->_find($req);
    my $answer = $found ? $self->_scripted($req, $found)
        : $self->_real($req);

    push @{$g->{answers}}, [ $req->{n}, $req->{method}, $req->{uri},
        (grep { $answer->{$_} } qw/ hang reset close raw /) ? 0
            : 0 + ($answer->{status} // 200) ];

    return $answer;
}

sub _find {
    my ($self, $req) = @_;

    for my $rule (@{$self->{g}{rules}}) {
        next if !$rule->{left}
            || ($rule->{method} ne '*' && $rule->{method} ne $req->{method})
            || $req->{uri} !~ $rule->{re}
            || (defined $rule->{rule}{match}
                && index(${$req->{body}}, $rule->{rule}{match}) < 0);

        if ($rule->{skip} > 0) {
            $rule->{skip}--;
            next;
        }

        $rule->{left}--;
        $rule->{used}++;
        return $rule->{rule};
    }

    return;
}

sub _scripted {
    my ($self, $req, $rule) = @_;
    my ($answer, $real);

    $self->_do(@$_) for @{$rule->{do} // []};

    my %how = map { $_ => $rule->{$_} } grep { defined $rule->{$_} }
        qw/ reset close hang raw truncate huge half chunked delay last info /;

    my $own = grep { defined $rule->{$_} } qw/ status body html empty error
        huge /;

    if ($rule->{apply} || (!$own && !grep { $how{$_} }
        qw/ reset close hang raw /))
    {
        $real = $self->_real($req);
    }

    if (defined $rule->{error}) {
        $answer = $self->_token_error($rule->{error});

    } elsif ($own) {
        $answer = $self->_error($rule->{status} // ($rule->{html} ? 503 : 200),
            %$rule);

    } else {
        $answer = $real // {};
        push @{$answer->{headers}}, @{$rule->{headers} // []};
    }

    $self->_logged($req, $answer) if !$real;

    return { %$answer, %how } if !$how{hang};

    # what it gets when it is let go

    my $id = $self->{correlation};
    my $late = $own ? $answer : $real // sub {
        local $self->{correlation} = $id;
        return $self->_real($req);
    };

    return { hang => 1, late => $late };
}

# a request for a token that got another answer than a real one

sub _logged {
    my ($self, $req, $answer) = @_;

    return if $req->{path} ne '/oauth/token';

    push @{$self->{g}{log}}, { n => $req->{n}, time => now(),
        status => $answer->{status} // 0 };
}

###############################################################################

1;
