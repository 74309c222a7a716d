//! What strict verification of Ed25519 accepts. The cases that nobody can sign with a library were computed from the
//! group itself: secret scalar and nonce are known, points of small order were added.

use crate::store::check;
use counterfoil_proof::unhex;
use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::{Value, json};

/// Holds a case against the library. `step` is the step of docs/format.md section 6 that refuses it, 0 if none does.
fn case(name: &str, step: u8, public_key: &str, message: &str, r: &str, s: &str) -> Value {
    let array = |text: &str| <[u8; 32]>::try_from(unhex(text).unwrap()).unwrap();
    let signature = Signature::from_components(array(r), array(s));
    let verifies = VerifyingKey::from_bytes(&array(public_key))
        .is_ok_and(|key| key.verify_strict(message.as_bytes(), &signature).is_ok());
    assert_eq!(verifies, step == 0, "{name}");
    json!({
        "name": name,
        "public_key": public_key,
        "message": message,
        "signature": format!("{r}{s}"),
        "valid": verifies,
        "refused_by_step": if verifies { Value::Null } else { step.into() },
    })
}

#[test]
fn signatures_are_judged_as_in_the_vectors() {
    let cases = [ordinary(), small_order_of_signatures(), small_order_of_keys(), mixed_order()].concat();
    check("ed25519.json", &json!({ "cases": cases }));
}

/// Ordinary signatures, and steps 1, 2 and 5.
fn ordinary() -> Vec<Value> {
    vec![
        case(
            "an ordinary signature",
            0,
            "cd14b37f956e953194ff7fb73b3d81dcc561d61a7538094b7c3e1a643ee5f3aa",
            "counterfoil",
            "b31b20f50426242514d81b383548bd90de72fd0b8cf2382a88f9f52ce5076b23",
            "bc95b77720ce956e3fe134835cb918643a275a0037ef73a7ff41e987f7eae80f",
        ),
        case(
            "the empty message",
            0,
            "cd14b37f956e953194ff7fb73b3d81dcc561d61a7538094b7c3e1a643ee5f3aa",
            "",
            "b31b20f50426242514d81b383548bd90de72fd0b8cf2382a88f9f52ce5076b23",
            "03376c9e45b83b033269546120fbafe29c496cdd01140d32ed6059e0a6b1090b",
        ),
        case(
            "S is S + L",
            1,
            "cd14b37f956e953194ff7fb73b3d81dcc561d61a7538094b7c3e1a643ee5f3aa",
            "counterfoil",
            "b31b20f50426242514d81b383548bd90de72fd0b8cf2382a88f9f52ce5076b23",
            "a969add43a31a8c6157e2c263bb3f7783a275a0037ef73a7ff41e987f7eae81f",
        ),
        case(
            "S is L and R is [L]B: the neutral element",
            1,
            "cd14b37f956e953194ff7fb73b3d81dcc561d61a7538094b7c3e1a643ee5f3aa",
            "counterfoil",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010",
        ),
        case(
            "another message",
            5,
            "cd14b37f956e953194ff7fb73b3d81dcc561d61a7538094b7c3e1a643ee5f3aa",
            "counterfeit",
            "b31b20f50426242514d81b383548bd90de72fd0b8cf2382a88f9f52ce5076b23",
            "bc95b77720ce956e3fe134835cb918643a275a0037ef73a7ff41e987f7eae80f",
        ),
        case(
            "one bit of R",
            5,
            "cd14b37f956e953194ff7fb73b3d81dcc561d61a7538094b7c3e1a643ee5f3aa",
            "counterfoil",
            "b31b20f50426242514d81b383548bd90de72fd0b8cf2382a88f9f52ce5076ba3",
            "bc95b77720ce956e3fe134835cb918643a275a0037ef73a7ff41e987f7eae80f",
        ),
        case(
            "R is no point",
            2,
            "cd14b37f956e953194ff7fb73b3d81dcc561d61a7538094b7c3e1a643ee5f3aa",
            "counterfoil",
            "0200000000000000000000000000000000000000000000000000000000000000",
            "bc95b77720ce956e3fe134835cb918643a275a0037ef73a7ff41e987f7eae80f",
        ),
        case(
            "A is no point",
            2,
            "0200000000000000000000000000000000000000000000000000000000000000",
            "counterfoil",
            "b31b20f50426242514d81b383548bd90de72fd0b8cf2382a88f9f52ce5076b23",
            "bc95b77720ce956e3fe134835cb918643a275a0037ef73a7ff41e987f7eae80f",
        ),
    ]
}

/// Step 3: R of small order, in every kind of encoding.
fn small_order_of_signatures() -> Vec<Value> {
    vec![
        case(
            "R is the neutral element, the equation holds",
            3,
            "cd14b37f956e953194ff7fb73b3d81dcc561d61a7538094b7c3e1a643ee5f3aa",
            "counterfoil",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "1b4ec32cbb65708beb3ac9d6785016e548822392d920b636d0e9b0bc3af36a01",
        ),
        case(
            "R is p + 1, a second encoding of the neutral element",
            3,
            "cd14b37f956e953194ff7fb73b3d81dcc561d61a7538094b7c3e1a643ee5f3aa",
            "counterfoil",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "a4cacae88c84c3add8b98c0a7f744226fe80a64399e7783b4a2c8608e18a1003",
        ),
        case(
            "R is the neutral element with its sign bit set",
            3,
            "cd14b37f956e953194ff7fb73b3d81dcc561d61a7538094b7c3e1a643ee5f3aa",
            "counterfoil",
            "0100000000000000000000000000000000000000000000000000000000000080",
            "5c6e2f6767ed67ba61ce70c3079345c857c35043cdc50b3734b5c05020ece20f",
        ),
        case(
            "R has order 8",
            3,
            "cd14b37f956e953194ff7fb73b3d81dcc561d61a7538094b7c3e1a643ee5f3aa",
            "counterfoil",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "4434cf1f4b07ddbd29ec976764d1944fbc43c27e269ffcbfaffd21acd15b8c05",
        ),
    ]
}

/// Step 3: A of small order, in every kind of encoding.
fn small_order_of_keys() -> Vec<Value> {
    vec![
        case(
            "A is the neutral element, the equation holds",
            3,
            "0100000000000000000000000000000000000000000000000000000000000000",
            "counterfoil",
            "b31b20f50426242514d81b383548bd90de72fd0b8cf2382a88f9f52ce5076b23",
            "e878dca548664051e5e695d8c157b538a506f9a3dd9f0e9cfed7f4de62238207",
        ),
        case(
            "A is the neutral element with its sign bit set",
            3,
            "0100000000000000000000000000000000000000000000000000000000000080",
            "counterfoil",
            "b31b20f50426242514d81b383548bd90de72fd0b8cf2382a88f9f52ce5076b23",
            "e878dca548664051e5e695d8c157b538a506f9a3dd9f0e9cfed7f4de62238207",
        ),
        case(
            "A is p, a second encoding of a point of order 4",
            3,
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "counterfoil",
            "b31b20f50426242514d81b383548bd90de72fd0b8cf2382a88f9f52ce5076b23",
            "e878dca548664051e5e695d8c157b538a506f9a3dd9f0e9cfed7f4de62238207",
        ),
        case(
            "A has order 2",
            3,
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "counterfoil",
            "b31b20f50426242514d81b383548bd90de72fd0b8cf2382a88f9f52ce5076b23",
            "e878dca548664051e5e695d8c157b538a506f9a3dd9f0e9cfed7f4de62238207",
        ),
        case(
            "A has order 8, the equation holds",
            3,
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "message 22",
            "b31b20f50426242514d81b383548bd90de72fd0b8cf2382a88f9f52ce5076b23",
            "e878dca548664051e5e695d8c157b538a506f9a3dd9f0e9cfed7f4de62238207",
        ),
        case(
            "A and R are the neutral element, S is 0",
            3,
            "0100000000000000000000000000000000000000000000000000000000000000",
            "counterfoil",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000000",
        ),
    ]
}

/// Points with a part of small order: what the cofactor would hide.
fn mixed_order() -> Vec<Value> {
    vec![
        case(
            "A has a part of order 8: the equation holds only times 8",
            5,
            "d196608236fc4f51b904974acbfad1636a6fe71b9232d337aadf344817365862",
            "message 0",
            "b31b20f50426242514d81b383548bd90de72fd0b8cf2382a88f9f52ce5076b23",
            "8c93b9f025bd4804e24cd40fbb831f34a2a217656128312a71381a218f21a50f",
        ),
        case(
            "A has a part of order 8 that cancels out: the equation holds",
            0,
            "d196608236fc4f51b904974acbfad1636a6fe71b9232d337aadf344817365862",
            "message 2",
            "b31b20f50426242514d81b383548bd90de72fd0b8cf2382a88f9f52ce5076b23",
            "144db28201d5d65f8a5a9347f6bf61a4dc550c6edc6cd08359f4b6fbcf804d01",
        ),
        case(
            "R has a part of order 8: the equation holds only times 8",
            5,
            "cd14b37f956e953194ff7fb73b3d81dcc561d61a7538094b7c3e1a643ee5f3aa",
            "counterfoil",
            "4c261951fba9f4ba7ece40431f212269f58becc2473c54cecda0e8f1e6f9d253",
            "7d223880f8ab3e82ff659928aefec8f07a27266f096a5bdd35ca9ff393083401",
        ),
    ]
}
