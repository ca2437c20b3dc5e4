/** The token that a tracker asks for: from the address to the memory of this tab, which reloads keep. */

const TOKEN_KEY = "hand-tracker-token";

/**
 * The token of the address (`#token=...`, or all that follows `#`), which is taken out of the address bar and
 * remembered; else the one of before in this tab.
 *
 * @returns {string | null}
 */
export function takeToken() {
  const fragment = location.hash.slice(1);
  if (fragment) history.replaceState(null, "", location.pathname + location.search);
  const given = decoded(fragment.replace(/^token=/, ""));
  if (given) {
    rememberToken(given);
    return given;
  }
  try {
    return sessionStorage.getItem(TOKEN_KEY);
  } catch {
    return null; // storage is switched off
  }
}

/**
 * Take further tokens: following a link to the page that is open already changes no more than the address.
 *
 * @param {(token: string) => void} use
 */
export function watchForTokens(use) {
  addEventListener("hashchange", () => {
    const token = location.hash.length > 1 && takeToken();
    if (token) use(token);
  });
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a lone percent sign is part of the token
  }
}

/** Keep a token for reloads of this tab, or forget it. @param {string | null} token */
export function rememberToken(token) {
  try {
    if (token) sessionStorage.setItem(TOKEN_KEY, token);
    else sessionStorage.removeItem(TOKEN_KEY);
  } catch {
    // storage is switched off: a reload asks again
  }
}
