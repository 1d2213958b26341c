"""The grammar of CEL for lark, after github.com/google/cel-spec/blob/master/doc/langdef.md#syntax, written left-recursive for LALR(1).

Binary operators come out as flat chains, which tree.py folds by precedence: with a rule per level lark would reduce nine times for each
name instead of three. Left out are message construction `T{...}` and optional selection (`.?`, `[?`); parsing.py says so where it meets
them. Numbers are matched before names and before the dot, raw strings before plain ones, keywords only as whole words.
"""

from __future__ import annotations

GRAMMAR = r"""
start: expr

?expr: operation
     | operation QUESTION operation COLON expr                      -> conditional

?operation: unary
     | chain                                                        -> operations
chain: unary (OR | AND | RELATION | IN | PLUS | MINUS | TIMES) unary    -> first_operation
     | chain (OR | AND | RELATION | IN | PLUS | MINUS | TIMES) unary    -> more_operations

?unary: member
     | NOT unary                                                    -> negated
     | MINUS unary                                                  -> minus

?member: IDENT                                                      -> name
     | DOT IDENT                                                    -> root_name
     | IDENT LPAR RPAR                                              -> call
     | IDENT LPAR exprs RPAR                                        -> call
     | DOT IDENT LPAR RPAR                                          -> root_call
     | DOT IDENT LPAR exprs RPAR                                    -> root_call
     | member DOT IDENT                                             -> select
     | member DOT QUOTED                                            -> select_quoted
     | member DOT IDENT LPAR RPAR                                   -> member_call
     | member DOT IDENT LPAR exprs RPAR                             -> member_call
     | member LSQB expr RSQB                                        -> index
     | LPAR expr RPAR                                               -> inner
     | LSQB RSQB                                                    -> list_literal
     | LSQB exprs RSQB                                              -> list_literal
     | LSQB exprs COMMA RSQB                                        -> list_literal
     | LBRACE RBRACE                                                -> map_literal
     | LBRACE entries RBRACE                                        -> map_literal
     | LBRACE entries COMMA RBRACE                                  -> map_literal
     | INT                                                          -> int_literal
     | UINT                                                         -> uint_literal
     | FLOAT                                                        -> double_literal
     | STRING                                                       -> string_literal
     | BYTES                                                        -> bytes_literal
     | TRUE                                                         -> true_literal
     | FALSE                                                        -> false_literal
     | NULL                                                         -> null_literal

exprs: expr                                                         -> first_expr
     | exprs COMMA expr                                             -> more_exprs
entries: expr COLON expr                                            -> first_entry
     | entries COMMA expr COLON expr                                -> more_entries

UINT.4: /(0[xX][0-9a-fA-F]+|[0-9]+)[uU]/
FLOAT.3: /[0-9]*\.[0-9]+([eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+/
INT.2: /0[xX][0-9a-fA-F]+|[0-9]+/
QUOTED: /`[A-Za-z0-9_.\-\/ ]+`/
IDENT: /[A-Za-z_][A-Za-z0-9_]*/
TRUE: "true"
FALSE: "false"
NULL: "null"
IN: "in"
OR: "||"
AND: "&&"
RELATION: "==" | "!=" | "<=" | ">=" | "<" | ">"
PLUS: "+"
MINUS: "-"
TIMES: "*" | "/" | "%"
NOT: "!"
QUESTION: "?"
COLON: ":"
COMMA: ","
DOT: "."
LPAR: "("
RPAR: ")"
LSQB: "["
RSQB: "]"
LBRACE: "{"
RBRACE: "}"

%ignore /[ \t\r\n\f]+/
%ignore /\/\/[^\n]*/
"""

_RAW = r"""(\"\"\"(?s:.)*?\"\"\"|'''(?s:.)*?'''|"[^"\r\n]*"|'[^'\r\n]*')"""
_PLAIN = r"""(\"\"\"(?s:[^\\]|\\.)*?\"\"\"|'''(?s:[^\\]|\\.)*?'''|"([^"\\\r\n]|\\.)*"|'([^'\\\r\n]|\\.)*')"""
GRAMMAR += f"""
BYTES.4: /[bB]([rR]{_RAW}|{_PLAIN})/
STRING.3: /[rR]{_RAW}|{_PLAIN}/
"""
