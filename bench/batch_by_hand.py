"""The initiation decision as a skilled analyst would write it in SQL, by hand, for exactly these rules: yes or no.

It says of each case whether all criteria of initiation are met, the record being complete: what is not on record is not
so, no first infusion is planned yet, and what only a person could judge does not count. There are no three answers, no
criteria, no explanation; it is what the batch engine is measured against. Readings as in force: previous year rolling,
support reviewed, brand asked.

Three forms of the same decision: `WORD_FOR_WORD` follows the rules one by one, `GROUPED` groups each table once by
case, `SEMI_JOINED` asks of each request whether the rows it needs are there. `decide` runs the fastest.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import duckdb

ROOT = Path(__file__).resolve().parent.parent
PRODUCTS = ROOT / "kb/vocabulary/ms_products.csv"

TABLES = (
    "request", "planned_dose", "step_exemption", "icd10", "therapy", "inadequate_response", "intolerance",
    "hypersensitivity", "contraindication", "prescriber_support", "hiv_test", "antiviral_prophylaxis",
    "concurrent_therapy", "documentation", "diagnosis", "relapse", "mri", "alemtuzumab_course",
)

_LISTS = """
    generic_ingredient(ingredient) AS (
        VALUES ('dimethyl fumarate'), ('fingolimod'), ('glatiramer acetate'), ('teriflunomide')
    ),
    preferred_ingredient(ingredient) AS (
        VALUES ('interferon beta-1a'), ('interferon beta-1b'), ('peginterferon beta-1a'), ('ofatumumab'),
               ('cladribine'), ('siponimod'), ('ozanimod')
    ),
    antiviral(agent) AS (
        VALUES ('acyclovir'), ('valacyclovir'), ('famciclovir'), ('aciclovir'), ('valaciclovir'), ('zovirax'),
               ('valtrex'), ('famvir')
    )
"""

WORD_FOR_WORD = f"""
WITH {_LISTS},
relapsing_disease AS (
    SELECT "case" FROM diagnosis WHERE condition IN ('RRMS', 'active SPMS')
    UNION
    SELECT "case" FROM icd10 WHERE replace(lower(code), '.', '') IN ('g35a', 'g35c1')
),
enough_relapses AS (
    SELECT relapse."case"
    FROM relapse JOIN request USING ("case")
    WHERE relapse."on" BETWEEN received - INTERVAL 12 MONTH AND received
    GROUP BY relapse."case"
    HAVING count(DISTINCT relapse."on") >= 2
),
active_on_mri AS (
    SELECT DISTINCT "case" FROM mri
    WHERE finding IN ('gadolinium-enhancing lesion', 'significant increase in T2 lesion load') AND lesions >= 1
),
highly_active_disease AS (SELECT "case" FROM enough_relapses SEMI JOIN active_on_mri USING ("case")),
class_used AS (
    SELECT DISTINCT therapy."case", class
    FROM therapy JOIN product USING (product) JOIN request USING ("case")
    WHERE class <> '' AND started <= received
),
treated_with_enough_classes AS (SELECT "case" FROM class_used GROUP BY "case" HAVING count(*) >= 3),
intolerant_of AS (
    SELECT "case", ingredient FROM intolerance JOIN product USING (product) WHERE cause = 'drug'
    UNION
    SELECT "case", ingredient FROM hypersensitivity JOIN product USING (product)
),
contraindicated_ingredient AS (
    SELECT DISTINCT "case", ingredient FROM contraindication JOIN product USING (product) WHERE basis = 'FDA label'
),
generic_agents_unsuitable AS (
    SELECT "case" FROM inadequate_response JOIN product USING (product) WHERE generic_step = 'yes'
    UNION
    SELECT "case" FROM intolerant_of SEMI JOIN generic_ingredient USING (ingredient)
    UNION
    SELECT "case" FROM intolerance JOIN product USING (product) WHERE cause = 'excipient' AND generic_step = 'yes'
    UNION
    SELECT "case" FROM contraindicated_ingredient SEMI JOIN generic_ingredient USING (ingredient)
    GROUP BY "case" HAVING count(*) = (SELECT count(*) FROM generic_ingredient)
    UNION
    SELECT "case" FROM prescriber_support WHERE "over" = 'generic agents' AND review = 'accepted'
),
preferred_brands_unsuitable AS (
    SELECT "case" FROM inadequate_response JOIN product USING (product) WHERE preferred_brand = 'yes'
    UNION
    SELECT "case" FROM intolerant_of SEMI JOIN preferred_ingredient USING (ingredient)
    UNION
    SELECT "case" FROM intolerance JOIN product USING (product) WHERE cause = 'excipient' AND preferred_brand = 'yes'
    UNION
    SELECT "case" FROM contraindicated_ingredient SEMI JOIN preferred_ingredient USING (ingredient)
    GROUP BY "case" HAVING count(*) = (SELECT count(*) FROM preferred_ingredient)
    UNION
    SELECT "case" FROM prescriber_support WHERE "over" = 'preferred brand agents' AND review = 'accepted'
),
step_agents_unsuitable AS (
    SELECT "case" FROM generic_agents_unsuitable SEMI JOIN preferred_brands_unsuitable USING ("case")
),
severity_or_earlier_treatment AS (
    SELECT "case" FROM highly_active_disease
    SEMI JOIN (SELECT "case" FROM documentation WHERE supports = 'disease activity') USING ("case")
    UNION
    SELECT "case" FROM (FROM treated_with_enough_classes UNION ALL FROM step_agents_unsuitable)
    SEMI JOIN (SELECT "case" FROM documentation WHERE supports = 'prior therapy') USING ("case")
    UNION
    SELECT "case" FROM step_exemption WHERE status = 'approved'
),
used_before AS (
    SELECT "case" FROM alemtuzumab_course
    UNION
    SELECT therapy."case" FROM therapy JOIN product USING (product) JOIN request USING ("case")
    WHERE ingredient = 'alemtuzumab' AND started <= received
),
tested_negative_for_hiv AS (
    SELECT DISTINCT "case" FROM hiv_test AS negative
    WHERE result = 'negative'
      AND NOT EXISTS (
          FROM hiv_test AS later
          WHERE later."case" = negative."case" AND later.result = 'indeterminate' AND later."on" >= negative."on"
      )
      AND NOT EXISTS (FROM hiv_test AS positive WHERE positive."case" = negative."case" AND result = 'positive')
),
antiviral_protection AS (
    SELECT DISTINCT "case" FROM antiviral_prophylaxis
    WHERE lower(agent) IN (FROM antiviral) AND months >= 2
),
not_used_alone AS (
    SELECT "case" FROM concurrent_therapy JOIN product USING (product) WHERE excluded_in_combination = 'yes'
    UNION
    SELECT "case" FROM therapy JOIN product USING (product) JOIN request USING ("case")
    WHERE stopped > received AND excluded_in_combination = 'yes'
),
dose_within_limit AS (SELECT "case" FROM planned_dose GROUP BY "case" HAVING max(mg_per_day) <= 12),
met AS (
    SELECT "case" FROM request
    SEMI JOIN relapsing_disease USING ("case")
    SEMI JOIN severity_or_earlier_treatment USING ("case")
    SEMI JOIN tested_negative_for_hiv USING ("case")
    SEMI JOIN antiviral_protection USING ("case")
    SEMI JOIN dose_within_limit USING ("case")
    ANTI JOIN used_before USING ("case")
    ANTI JOIN not_used_alone USING ("case")
)
SELECT request."case", met."case" IS NOT NULL AS met FROM request LEFT JOIN met USING ("case")
"""

_FACTS_OF_PRODUCTS = """
    facts AS (
        SELECT product, ingredient,
               CASE WHEN class <> '' THEN 1 << (dense_rank() OVER (ORDER BY class))::INTEGER ELSE 0 END AS class_bit,
               ingredient = 'alemtuzumab' AS is_alemtuzumab,
               excluded_in_combination = 'yes' AS is_excluded,
               generic_step = 'yes' AS is_generic,
               preferred_brand = 'yes' AS is_preferred,
               ingredient IN (FROM generic_ingredient) AS has_generic_ingredient,
               ingredient IN (FROM preferred_ingredient) AS has_preferred_ingredient
        FROM product
    )
"""

GROUPED = f"""
WITH {_LISTS}, {_FACTS_OF_PRODUCTS},
diagnosed AS (
    SELECT "case", bool_or(condition IN ('RRMS', 'active SPMS')) AS relapsing FROM diagnosis GROUP BY "case"
),
coded AS (
    SELECT "case", bool_or(replace(lower(code), '.', '') IN ('g35a', 'g35c1')) AS relapsing FROM icd10 GROUP BY "case"
),
relapses AS (
    SELECT "case", min("on") AS first, max("on") AS last
    FROM relapse JOIN request USING ("case")
    WHERE "on" BETWEEN received - INTERVAL 12 MONTH AND received
    GROUP BY "case"
),
mris AS (
    SELECT "case",
           bool_or(finding IN ('gadolinium-enhancing lesion', 'significant increase in T2 lesion load')
                   AND lesions >= 1) AS active
    FROM mri GROUP BY "case"
),
therapies AS (
    SELECT "case",
           bit_count(bit_or(CASE WHEN started <= received THEN class_bit ELSE 0 END)) AS classes,
           bool_or(is_alemtuzumab AND started <= received) AS alemtuzumab,
           bool_or(is_excluded AND stopped > received) AS still_used
    FROM therapy JOIN facts USING (product) JOIN request USING ("case")
    GROUP BY "case"
),
responses AS (
    SELECT "case", bool_or(is_generic) AS generic, bool_or(is_preferred) AS preferred
    FROM inadequate_response JOIN facts USING (product) GROUP BY "case"
),
intolerances AS (
    SELECT "case",
           bool_or(cause = 'drug' AND has_generic_ingredient OR cause = 'excipient' AND is_generic) AS generic,
           bool_or(cause = 'drug' AND has_preferred_ingredient OR cause = 'excipient' AND is_preferred) AS preferred
    FROM intolerance JOIN facts USING (product) GROUP BY "case"
),
hypersensitivities AS (
    SELECT "case", bool_or(has_generic_ingredient) AS generic, bool_or(has_preferred_ingredient) AS preferred
    FROM hypersensitivity JOIN facts USING (product) GROUP BY "case"
),
contraindications AS (
    SELECT "case",
           count(DISTINCT ingredient) FILTER (has_generic_ingredient)
               = (SELECT count(*) FROM generic_ingredient) AS generic,
           count(DISTINCT ingredient) FILTER (has_preferred_ingredient)
               = (SELECT count(*) FROM preferred_ingredient) AS preferred
    FROM contraindication JOIN facts USING (product) WHERE basis = 'FDA label' GROUP BY "case"
),
supports AS (
    SELECT "case", bool_or("over" = 'generic agents') AS generic,
           bool_or("over" = 'preferred brand agents') AS preferred
    FROM prescriber_support WHERE review = 'accepted' GROUP BY "case"
),
documents AS (
    SELECT "case", bool_or(supports = 'disease activity') AS activity, bool_or(supports = 'prior therapy') AS therapy
    FROM documentation GROUP BY "case"
),
exemptions AS (SELECT DISTINCT "case", true AS approved FROM step_exemption WHERE status = 'approved'),
courses AS (SELECT DISTINCT "case", true AS given FROM alemtuzumab_course),
tests AS (
    SELECT "case",
           NOT bool_or(result = 'positive')
           AND max("on") FILTER (result = 'negative')
               > coalesce(max("on") FILTER (result = 'indeterminate'), DATE '0001-01-01') AS negative
    FROM hiv_test GROUP BY "case"
),
antivirals AS (
    SELECT "case",
           bool_or(lower(agent) IN (FROM antiviral) AND months >= 2) AS accepted
    FROM antiviral_prophylaxis GROUP BY "case"
),
combinations AS (
    SELECT "case", bool_or(is_excluded) AS excluded FROM concurrent_therapy JOIN facts USING (product) GROUP BY "case"
),
doses AS (SELECT "case", max(mg_per_day) <= 12 AS allowed FROM planned_dose GROUP BY "case")
SELECT request."case", coalesce(
    (diagnosed.relapsing OR coded.relapsing)
    AND (
        relapses.first < relapses.last AND mris.active AND documents.activity
        OR documents.therapy AND (
            therapies.classes >= 3
            OR (responses.generic OR intolerances.generic OR hypersensitivities.generic OR contraindications.generic
                OR supports.generic)
               AND (responses.preferred OR intolerances.preferred OR hypersensitivities.preferred
                    OR contraindications.preferred OR supports.preferred)
        )
        OR exemptions.approved
    )
    AND courses.given IS NULL
    AND therapies.alemtuzumab IS NOT TRUE
    AND tests.negative
    AND antivirals.accepted
    AND combinations.excluded IS NOT TRUE
    AND therapies.still_used IS NOT TRUE
    AND doses.allowed, false) AS met
FROM request
LEFT JOIN diagnosed USING ("case")
LEFT JOIN coded USING ("case")
LEFT JOIN relapses USING ("case")
LEFT JOIN mris USING ("case")
LEFT JOIN therapies USING ("case")
LEFT JOIN responses USING ("case")
LEFT JOIN intolerances USING ("case")
LEFT JOIN hypersensitivities USING ("case")
LEFT JOIN contraindications USING ("case")
LEFT JOIN supports USING ("case")
LEFT JOIN documents USING ("case")
LEFT JOIN exemptions USING ("case")
LEFT JOIN courses USING ("case")
LEFT JOIN tests USING ("case")
LEFT JOIN antivirals USING ("case")
LEFT JOIN combinations USING ("case")
LEFT JOIN doses USING ("case")
"""

# The cheap criteria first: what they leave of the requests is all that the dearer ones are asked about.
SEMI_JOINED = f"""
WITH {_LISTS}, {_FACTS_OF_PRODUCTS},
unsuitable AS (
    SELECT "case", is_generic AS generic, is_preferred AS preferred
    FROM inadequate_response JOIN facts USING (product)
    UNION ALL
    SELECT "case", has_generic_ingredient, has_preferred_ingredient
    FROM hypersensitivity JOIN facts USING (product)
    UNION ALL
    SELECT "case", cause = 'drug' AND has_generic_ingredient OR cause = 'excipient' AND is_generic,
           cause = 'drug' AND has_preferred_ingredient OR cause = 'excipient' AND is_preferred
    FROM intolerance JOIN facts USING (product)
    UNION ALL
    SELECT "case",
           count(DISTINCT ingredient) FILTER (has_generic_ingredient) = (SELECT count(*) FROM generic_ingredient),
           count(DISTINCT ingredient) FILTER (has_preferred_ingredient) = (SELECT count(*) FROM preferred_ingredient)
    FROM contraindication JOIN facts USING (product) WHERE basis = 'FDA label' GROUP BY "case"
    UNION ALL
    SELECT "case", "over" = 'generic agents', "over" = 'preferred brand agents'
    FROM prescriber_support WHERE review = 'accepted'
),
remaining AS MATERIALIZED (
    SELECT "case", received FROM request
    WHERE ("case" IN (SELECT "case" FROM diagnosis WHERE condition IN ('RRMS', 'active SPMS'))
           OR "case" IN (SELECT "case" FROM icd10 WHERE replace(lower(code), '.', '') IN ('g35a', 'g35c1')))
      AND "case" NOT IN (SELECT "case" FROM alemtuzumab_course)
      AND "case" NOT IN (SELECT "case" FROM concurrent_therapy JOIN facts USING (product) WHERE is_excluded)
      AND "case" NOT IN (
          SELECT "case" FROM therapy JOIN facts USING (product) JOIN request USING ("case")
          WHERE is_excluded AND stopped > received
      )
      AND "case" IN (SELECT "case" FROM planned_dose WHERE mg_per_day <= 12)
      AND "case" NOT IN (SELECT "case" FROM planned_dose WHERE mg_per_day > 12)
      AND "case" IN (
          SELECT "case" FROM antiviral_prophylaxis
          WHERE lower(agent) IN (FROM antiviral) AND months >= 2
      )
      AND "case" NOT IN (SELECT "case" FROM hiv_test WHERE result = 'positive')
      AND "case" IN (
          SELECT "case" FROM hiv_test GROUP BY "case"
          HAVING max("on") FILTER (result = 'negative')
                 > coalesce(max("on") FILTER (result = 'indeterminate'), DATE '0001-01-01')
      )
),
therapies AS MATERIALIZED (
    SELECT "case", bit_count(bit_or(class_bit)) >= 3 AS enough_classes, bool_or(is_alemtuzumab) AS alemtuzumab
    FROM therapy JOIN facts USING (product) JOIN remaining USING ("case")
    WHERE started <= received
    GROUP BY "case"
),
met AS (
    SELECT "case" FROM remaining
    WHERE "case" NOT IN (SELECT "case" FROM therapies WHERE alemtuzumab)
      AND (
          "case" IN (SELECT "case" FROM documentation WHERE supports = 'disease activity')
          AND "case" IN (
              SELECT "case" FROM mri
              WHERE lesions >= 1
                AND finding IN ('gadolinium-enhancing lesion', 'significant increase in T2 lesion load')
          )
          AND "case" IN (
              SELECT "case" FROM relapse JOIN remaining USING ("case")
              WHERE "on" BETWEEN received - INTERVAL 12 MONTH AND received
              GROUP BY "case" HAVING min("on") < max("on")
          )
          OR "case" IN (SELECT "case" FROM documentation WHERE supports = 'prior therapy')
          AND (
              "case" IN (SELECT "case" FROM therapies WHERE enough_classes)
              OR "case" IN (
                  SELECT "case" FROM unsuitable GROUP BY "case" HAVING bool_or(generic) AND bool_or(preferred)
              )
          )
          OR "case" IN (SELECT "case" FROM step_exemption WHERE status = 'approved')
      )
)
SELECT request."case", met."case" IS NOT NULL AS met FROM request LEFT JOIN met USING ("case")
"""

FORMS = {"word for word": WORD_FOR_WORD, "grouped": GROUPED, "semi-joined": SEMI_JOINED}


def decide(folder: Path, output: Path, form: str = "semi-joined", threads: int | None = None) -> None:
    """Read the tables of a folder, `<relation>.parquet`, and write a Parquet file with `case` and `met`."""
    with tempfile.TemporaryDirectory() as spill, duckdb.connect(":memory:", config={"temp_directory": spill}) as sql:
        sql.execute("SET enable_progress_bar = false; SET preserve_insertion_order = false")
        if threads is not None:
            sql.execute(f"SET threads = {threads}")
        for table in TABLES:
            sql.execute(f"CREATE VIEW {table} AS FROM read_parquet('{folder / f'{table}.parquet'}')")
        sql.execute(f"CREATE TABLE product AS FROM read_csv('{PRODUCTS}', header = true, all_varchar = true)")
        # An empty class is empty text, not NULL.
        sql.execute("UPDATE product SET class = coalesce(class, '')")
        sql.execute(f"COPY ({FORMS[form]}) TO '{output}' (FORMAT parquet)")


if __name__ == "__main__":
    source, target, chosen = sys.argv[1:]
    decide(Path(source), Path(target), chosen)
