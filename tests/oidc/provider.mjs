// A real OpenID provider for the tests: oidc-provider with a few made-up accounts.
// node provider.mjs PORT APP [APP ...]   APP is an origin such as http://127.0.0.1:8501
// Whoever types an account's name into the form is signed in as it; any password does.
import Provider from 'oidc-provider';

const [port, ...apps] = process.argv.slice(2);
const SHORT_SECONDS = 30;
const LONG_SECONDS = 3600;

const verified = (email, more = {}) => ({ email, email_verified: true, ...more });
const accounts = {
  ada: verified('ada@example.com', { groups: ['telemetry-admins'] }),
  ben: verified('Ben@Example.com'),
  cleo: verified('cleo@partner.org', { groups: ['telemetry-readers', 'staff'] }),
  listed: verified('listed@elsewhere.net'),
  eve: verified('eve@evil-example.com'),
  sub: verified('sub@example.com.evil.org'),
  quoted: verified('"quoted@example.com"@evil.org'),
  unverified: { email: 'uma@example.com', email_verified: false },
  texted: { email: 'tex@example.com', email_verified: 'true' },
  nobody: { name: 'No address at all' },
  brief: verified('brief@example.com'),
};

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{
    client_id: 'betascope',
    client_secret: 'a-secret-of-the-tests-only',
    redirect_uris: apps.map((app) => `${app}/oauth2callback`),
    post_logout_redirect_uris: apps.map((app) => `${app}/oauth2callback`),
    grant_types: ['authorization_code'],
    response_types: ['code'],
  }],
  cookies: { keys: ['a key of the tests only'] },
  claims: { openid: ['sub'], email: ['email', 'email_verified', 'groups', 'name'], profile: [] },
  conformIdTokenClaims: false, // put the claims into the token, as the large providers do
  async findAccount(_ctx, sub) {
    return { accountId: sub, claims: async () => ({ sub, ...accounts[sub] }) };
  },
  ttl: {
    IdToken: (_ctx, token) => (token.available?.sub === 'brief' ? SHORT_SECONDS : LONG_SECONDS),
    AccessToken: LONG_SECONDS,
    Session: LONG_SECONDS,
    Interaction: LONG_SECONDS,
    Grant: LONG_SECONDS,
  },
  features: { devInteractions: { enabled: true }, rpInitiatedLogout: { enabled: true } },
});

provider.listen(Number(port), '127.0.0.1', () => console.log('ready'));
