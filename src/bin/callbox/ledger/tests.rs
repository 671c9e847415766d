use callbox::{
    pay::audit::{Evidence, Seen, Transfer, judge},
    store::claims::{ClaimState, NewClaim},
};
use chrono::TimeZone;

use super::*;

fn claim(route: &str, amount: &str, state: ClaimState) -> Claim {
    let at = Utc.with_ymd_and_hms(2026, 11, 22, 9, 0, 0).unwrap();
    Claim {
        id: "pay_00000000000070008000000000000001".parse().unwrap(),
        offer: NewClaim {
            scheme: "x402".into(),
            network: "eip155:8453".into(),
            asset: "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913".into(),
            payer: "0x1111111111111111111111111111111111111111".parse().unwrap(),
            nonce: "0x01".into(),
            amount: amount.parse().unwrap(),
            pay_to: "0x2222222222222222222222222222222222222222".parse().unwrap(),
            valid_before: at,
            route: route.into(),
            body_sha256: "aa".into(),
            proof: json!({}),
        },
        state,
        work: None,
        settlement: Some("0xabc".into()),
        answer: None,
        refund: None,
        created_at: at,
        updated_at: at,
    }
}

#[test]
fn the_list_shows_a_payment_a_line_with_short_payers() {
    let report = list(&[claim("POST /api/call", "0.54", ClaimState::Delivered)]);
    let expected = "\
TIME                 PAYMENT                               STATE      AMOUNT  NETWORK  ROUTE           PAYER        TRANSACTION
2026-11-22 09:00:00  pay_00000000000070008000000000000001  delivered  0.54    base     POST /api/call  0x1111…1111  0xabc
";
    assert_eq!(report.text, expected);
    assert_eq!(report.value[0]["payer"], "0x1111111111111111111111111111111111111111");
}

#[test]
fn sums_are_exact_and_leave_out_what_was_not_charged() {
    use ClaimState::*;
    let claims = [
        claim("POST /api/call", "0.54", Delivered),
        claim("POST /api/call", "0.54", RefundDue),
        claim("POST /api/call", "0.54", Refunded),
        claim("POST /api/call", "0.54", Released),
        claim("POST /api/v1/phone/numbers/list", "0.001", Delivered),
        claim("POST /api/x402/call", "0.10", Disputed),
        claim("POST /api/x402/number", "20.00", Reserved),
    ];
    let expected = "\
API          NETWORK  ROUTE                            PAYMENTS  SOLD   REFUNDED  DUE   DISPUTED  KEPT
blockrun     base     POST /api/v1/phone/numbers/list  1         0.001  0.00      0.00  0.00      0.001
stablephone  base     POST /api/call                   3         1.62   0.54      0.54  0.00      0.54
x402phone    base     POST /api/x402/call              1         0.10   0.00      0.00  0.10      0.00
all                                                    5         1.721  0.54      0.54  0.10      0.541
";
    assert_eq!(sum::report(&claims).text, expected);
}

#[test]
fn reconciliation_shows_what_differs_and_both_sums() {
    let sold = claim("POST /api/call", "0.54", ClaimState::Delivered);
    let paid = |amount: &str| Evidence {
        used: true,
        settlement: Seen::Moved(vec![Transfer {
            from: sold.offer.payer.clone(),
            to: sold.offer.pay_to.clone(),
            amount: amount.parse().unwrap(),
        }]),
        refund: None,
    };
    let found = |evidence: &Evidence| {
        let (booked, finding) = (540_000, judge(&sold, evidence));
        reconcile::Compared { claim: sold.clone(), booked, finding }
    };
    let fine = reconcile::told(&[found(&paid("0.54"))]);
    assert!(fine.agrees);
    assert_eq!(fine.text, "1 of 1 payments agree with the chain; the ledger has 0.54, the chain 0.54\n");
    let odd = reconcile::told(&[found(&paid("0.54")), found(&paid("0.50"))]);
    assert!(!odd.agrees);
    assert!(odd.text.contains("differs  it moved 0.50, not 0.54"), "{}", odd.text);
    assert!(odd.text.ends_with("the ledger has 1.08, the chain 1.04\n"), "{}", odd.text);
    let unbooked = reconcile::by_ledger(judge(&sold, &paid("0.54")), 0);
    assert_eq!(unbooked.detail, "the ledger has 0.00, the chain 0.54");
}

#[test]
fn since_is_a_day_or_a_number_of_days() {
    let day: Since = "2027-03-14".parse().unwrap();
    assert_eq!(day.0, Utc.with_ymd_and_hms(2027, 3, 14, 0, 0, 0).unwrap());
    assert!("7".parse::<Since>().unwrap().0 < Utc::now());
    assert!("yesterday".parse::<Since>().is_err());
}
